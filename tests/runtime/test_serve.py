"""`edgefeat serve`: the features that `extract` gives, to those who may have them, whatever others send."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.services import Service, running, wait_for

import edgefeat

NEEDED = ("uvicorn", "starlette", "orjson", "prometheus_client", "python_multipart")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"the extra serve is not installed: no {', '.join(MISSING)}")

TOKEN = "0123456789abcdef0123456789abcdef"  # of the tests


class Answer:
    """An answer: status, headers, body."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running server."""

    def __init__(self, service: Service) -> None:
        self.service = service
        line = service.said("serving at ")
        self.port = int(line.rstrip("/").rpartition(":")[2]) if line.endswith("/") else 0

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        try:
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def raw(self, sent: bytes) -> bytes:
        """Send bytes and return everything that comes back until the server closes the connection or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(sent)
            connection.settimeout(2)
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while block := connection.recv(65536):
                    received += block
            return received


@contextlib.contextmanager
def serving(bundle: Path, *options: str | Path, **more: Any) -> Iterator[Server]:
    with running("serve", bundle, "--port", "0", *options, **more) as service:
        yield Server(service)


@pytest.fixture(scope="module")
def server(one_tap: Path) -> Iterator[Server]:
    with serving(one_tap) as one:
        yield one


@pytest.fixture(scope="module")
def photo(photos: list[str]) -> bytes:
    return Path(photos[0]).read_bytes()


def multipart(**files: bytes) -> tuple[bytes, str]:
    """A multipart body and its type."""
    parts = [
        f'--limit\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in files.items()
    ]
    return b"".join(parts) + b"--limit--\r\n", "multipart/form-data; boundary=limit"


def test_a_picture_gets_the_feature_that_extract_gives(server: Server, one_tap: Path, photos: list[str]) -> None:
    extractor = edgefeat.load(one_tap)
    for path in photos:
        answer = server.ask("POST", "/features", Path(path).read_bytes())
        assert answer.status == 200
        feature = np.array(answer.json["feature"], np.float32)
        np.testing.assert_array_equal(feature, extractor.extract(path))
        assert (answer.json["variant"], answer.json["engine"]) == (extractor.variant, extractor.engine)
        assert set(answer.json["milliseconds"]) == {"wait", "prepare", "engine"}


def test_arrays_come_as_npy_or_float16(server: Server, one_tap: Path, photo: bytes) -> None:
    feature = np.asarray(edgefeat.load(one_tap).extract(photo))
    npy = server.ask("POST", "/features", photo, Accept="application/x-npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.body)), feature)
    half = server.ask("POST", "/features", photo, Accept="application/octet-stream;q=0.9, application/json;q=0.1")
    np.testing.assert_array_equal(np.frombuffer(half.body, "<f2"), feature.astype(np.float16))
    assert half.headers["X-Feature-Shape"] == str(len(feature))
    refused = server.ask("POST", "/features", photo, Accept="text/html")
    assert refused.status == 406
    assert "application/x-npy" in refused.json["error"]


def test_several_pictures_come_as_multipart(server: Server, one_tap: Path, photos: list[str]) -> None:
    datas = {Path(path).name: Path(path).read_bytes() for path in photos}
    body, kind = multipart(**datas)
    answer = server.ask("POST", "/features", body, Content_Type=kind)
    features = np.asarray(edgefeat.load(one_tap).extract(photos))
    assert [one["name"] for one in answer.json["photos"]] == list(datas)
    np.testing.assert_array_equal(np.array([one["feature"] for one in answer.json["photos"]], np.float32), features)
    npy = server.ask("POST", "/features", body, Content_Type=kind, Accept="application/x-npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.body)), features)


def test_a_malformed_picture_among_others_is_named(server: Server, photo: bytes) -> None:
    body, kind = multipart(good=photo, bad=b"words")
    for accept in ("application/json", "application/x-npy"):
        answer = server.ask("POST", "/features", body, Content_Type=kind, Accept=accept)
        assert answer.status == 422
        good, bad = answer.json["photos"]
        assert len(good["feature"]) == 16
        assert "not an image in a supported format" in bad["error"]
        assert answer.json["error"].startswith("bad: ")


def bomb(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    pixels = zlib.compress(bytes((side // 8 + 1) * side), 9)
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_what_is_no_picture_within_the_limits_is_refused_with_its_reason(server: Server, photo: bytes) -> None:
    for body, said in (
        (b"words", "not an image in a supported format"),
        (photo[: len(photo) // 2], "truncated"),
        (bomb(8000), "8000x8000 pixels"),
    ):
        answer = server.ask("POST", "/features", body)
        assert answer.status == 422
        assert said in answer.json["error"]


def test_a_picture_between_the_small_and_the_large_limit_is_read(server: Server) -> None:
    assert server.ask("POST", "/features", bomb(3000)).status == 200


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (400, b"", {}, "the body is empty"),
        (415, b"x", {"Content_Encoding": "gzip"}, "compressed"),
        (413, b"x" * 2_000_001, {}, "too large"),
        (400, b"--limit\r\n", {"Content_Type": "multipart/form-data; boundary=limit"}, "multipart"),
        (415, b"x", {"Content_Type": "multipart/mixed; boundary=limit"}, "multipart/form-data"),
        (400, b"--limit--\r\n", {"Content_Type": "multipart/form-data; boundary=limit"}, "no picture"),
        (413, multipart(**{str(n): b"x" for n in range(40)})[0], {"Content_Type": multipart()[1]}, "too many parts"),
        (
            400,
            b"--limit\r\nX: " + b"a" * 9000 + b"\r\n\r\n\r\n--limit--",
            {"Content_Type": multipart()[1]},
            "",
        ),
    ],
)
def test_a_body_outside_the_limits_is_refused(
    one_tap: Path, status: int, body: bytes, headers: dict[str, str], said: str, small: Server
) -> None:
    answer = small.ask("POST", "/features", body, **headers)
    assert answer.status == status
    assert said in answer.json["error"]


@pytest.fixture(scope="module")
def small(one_tap: Path) -> Iterator[Server]:
    """A server with low limits."""
    with serving(one_tap, "--max-body", "2", "--queue", "1", "--connections", "12") as one:
        yield one


def test_a_body_without_a_length_is_limited_too(small: Server) -> None:
    chunks = b"40000\r\n" + bytes(0x40000) + b"\r\n"
    head = b"POST /features HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 413 " in small.raw(head + 9 * chunks + b"0\r\n\r\n").split(b"\r\n")[0]


def test_a_full_queue_is_answered_with_retry_after(small: Server) -> None:
    answers: list[Answer] = []
    picture = bomb(3000)

    def ask() -> None:
        answers.append(small.ask("POST", "/features", picture))

    def many() -> bool:
        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return any(answer.status == 503 for answer in answers)

    wait_for(many)
    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.headers["Retry-After"] for answer in answers if answer.status == 503} == {"1"}


def test_more_pictures_than_the_queue_has_places_come_in_one_request(small: Server) -> None:
    body, kind = multipart(**{str(number): bomb(1000) for number in range(16)})
    answer = small.ask("POST", "/features", body, Content_Type=kind)
    assert answer.status == 200
    assert len(answer.json["photos"]) == 16


def test_silent_connections_do_not_keep_others_out(small: Server, photo: bytes) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(40):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", small.port)))
            if number % 2:
                connection.sendall(b"POST /features HTTP/1.1\r\nHo")
        assert small.ask("POST", "/features", photo).status == 200


def test_an_upload_that_stalls_gives_its_memory_to_others(server: Server, photo: bytes) -> None:
    with contextlib.ExitStack() as stack:
        stalled = []
        for _ in range(25):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            connection.sendall(b"POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n")
            connection.sendall(bytes(650_000))
            stalled.append(connection)
        body = photo + bytes(1_500_000)
        wait_for(lambda: server.ask("POST", "/features", body).status == 200)  # once the others are silent for a while
        assert b" 503 " in stalled[0].recv(4096)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:8080", 200),
        ("192.168.7.7", 200),
        ("example.org", 421),
        ("localhost.example.org", 421),
        ("127.0.0.1.example.org", 421),
        ("", 421),
        ("localhost@example.org", 421),
        ("pi.example.org", 200),
    ],
)
def test_a_name_that_is_not_the_servers_is_refused(open_server: Server, host: str, status: int) -> None:
    assert open_server.ask("GET", "/info", Host=host).status == status


@pytest.fixture(scope="module")
def open_server(one_tap: Path) -> Iterator[Server]:
    options = ("--allow-host", "pi.example.org", "--allow-origin", "https://app.example.org")
    with serving(one_tap, *options) as one:
        yield one


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:1"}, 200),
        ({"Origin": "https://app.example.org"}, 200),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "http://localhost:2"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_a_page_of_another_site_is_refused(
    open_server: Server, photo: bytes, headers: dict[str, str], status: int
) -> None:
    answer = open_server.ask("POST", "/features", photo, Host="localhost:1", **headers)
    assert answer.status == status
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    assert allowed == ("https://app.example.org" if headers.get("Origin") == "https://app.example.org" else None)


SMUGGLED = b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: 4, 4",
        b"Content-Length: +4",
        b"Content-Length: 0x4",
        b"Content-Length: -1",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\n chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"X: y\r\n z: folded\x00",
        b"Bad Name: x",
        b"X: " + b"a" * 20_000,
    ],
    ids=lambda head: head[:40].decode("latin-1"),
)
def test_an_ambiguous_request_is_refused_and_what_follows_it_not_answered(server: Server, head: bytes) -> None:
    request = b"POST /features HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n"
    received = server.raw(request + b"0\r\n\r\n" + SMUGGLED)
    assert b"manifest_sha256" not in received
    assert not received or re.match(rb"HTTP/1.1 (400|422|431|501) ", received)
    assert all(b" 400 " in line for line in re.findall(rb"HTTP/1.1 .*", received)[1:])
    assert server.ask("GET", "/health").status == 200


@pytest.mark.parametrize(
    "path",
    ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/page.css/../server.py", "/page.js%00"],
)
def test_no_path_of_a_client_is_opened(server: Server, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status in (404, 405)
    assert b"root:" not in answer.body


def test_an_address_that_others_can_reach_needs_a_token_or_open(one_tap: Path, tmp_path: Path) -> None:
    with running("serve", one_tap, "--host", "0.0.0.0", "--port", "0") as service:
        assert service.process.wait(timeout=60) == 2
        assert "--token-file" in service.said("--open")
    (tmp_path / "short").write_text("secret")
    with running("serve", one_tap, "--token-file", tmp_path / "short") as service:
        assert service.process.wait(timeout=60) == 2
        service.said("openssl rand -hex 32")


def test_a_token_is_required_where_there_is_one(one_tap: Path, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with serving(one_tap, "--token-file", tmp_path / "token", "--host", "0.0.0.0") as server:
        assert server.ask("GET", "/health").status == 200
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answer = server.ask("POST", "/features", photo, **given)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/info", "/metrics"):
            assert server.ask("GET", path).status == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert server.ask("POST", "/features", photo, **right).status == 200
        assert server.ask("GET", "/openapi.json").json["security"]


def test_a_search_finds_the_nearest_photos(one_tap: Path, photos: list[str], tmp_path: Path) -> None:
    database = tmp_path / "features.db"
    with running("extract", one_tap, *photos, "--into", database) as service:
        assert service.process.wait(timeout=120) == 0
    with serving(one_tap, "--database", database) as server:
        answer = server.ask("POST", "/search?k=2&thumbnails=1", Path(photos[1]).read_bytes())
        nearest, second = answer.json["neighbours"]
        assert nearest["path"] == photos[1]
        assert nearest["cosine"] == pytest.approx(1, abs=1e-4)
        assert nearest["thumbnail"].startswith("data:image/jpeg;base64,")
        assert "thumbnail" not in second
        assert answer.json["photos"] == len(photos)
        assert server.ask("GET", "/info").json["database"] == {"photos": len(photos)}
        refused = server.ask("POST", "/search?k=0", Path(photos[1]).read_bytes())
        assert refused.status == 400
        with running("serve", one_tap, "--database", database, "--exact") as service:
            assert service.process.wait(timeout=60) == 2
            service.said("leave out --exact")
        os.unlink(database)
        assert server.ask("POST", "/search", Path(photos[1]).read_bytes()).status == 503


def test_a_search_without_a_database_says_how_to_have_one(server: Server, photo: bytes) -> None:
    answer = server.ask("POST", "/search", photo)
    assert answer.status == 404
    assert "--database" in answer.json["error"]


def test_several_taps_are_told_apart(two_taps: Path, photo: bytes) -> None:
    features = edgefeat.load(two_taps).extract(photo)
    assert isinstance(features, dict)
    with serving(two_taps) as server:
        answer = server.ask("POST", "/features", photo).json["feature"]
        assert set(answer) == set(features)
        for name, feature in features.items():
            np.testing.assert_array_equal(np.array(answer[name], np.float32), feature)
        one = server.ask("POST", "/features?tap=stem", photo, Accept="application/x-npy")
        np.testing.assert_array_equal(np.load(io.BytesIO(one.body)), features["stem"])
        for path, said in (("/features", "?tap=NAME"), ("/features?tap=x", "unknown")):
            refused = server.ask("POST", path, photo, Accept="application/x-npy")
            assert refused.status == 400
            assert said in refused.json["error"]


def test_what_the_description_names_is_there(server: Server) -> None:
    document = server.ask("GET", "/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == edgefeat.__version__
    for path, methods in document["paths"].items():
        for method in methods:
            assert server.ask(method.upper(), path).status not in (404, 405), path
    assert "/search" not in document["paths"]  # without a database
    assert "security" not in document


def test_the_page_loads_nothing_from_elsewhere(server: Server) -> None:
    page = server.ask("GET", "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for path in ("/", "/page.css", "/page.js"):
        answer = server.ask("GET", path)
        assert answer.status == 200
        assert not re.search(rb"https?://(?!www\.w3\.org/)", answer.body)
        assert b" style=" not in answer.body  # the policy forbids it
    names = re.findall(rb'(?:src|href)="([^"]+)"', page.body)
    assert set(names) >= {b"/page.css", b"/page.js"}


def test_the_metrics_count_requests_and_photos(one_tap: Path, photo: bytes) -> None:
    with serving(one_tap) as server:
        server.ask("POST", "/features", photo)
        server.ask("POST", "/features", b"words")
        server.ask("GET", "/nowhere")
        text = server.ask("GET", "/metrics").body.decode()
    assert 'edgefeat_requests_total{path="/features",status="200"} 1.0' in text
    assert 'edgefeat_requests_total{path="other",status="404"} 1.0' in text
    assert 'edgefeat_photos_total{result="unreadable"} 1.0' in text
    assert 'edgefeat_stage_seconds_count{stage="engine"} 1.0' in text


def test_a_unix_socket_is_for_the_owner_and_the_group(one_tap: Path, tmp_path: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("there are no Unix sockets")
    path = tmp_path / "socket"
    for _ in range(2):  # the second time over what a killed server has left
        with running("serve", one_tap, "--unix", path) as service:
            service.said("serving at unix:")
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(path))
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert connection.makefile("rb").read().endswith(b'{"status":"ok"}')
            with running("serve", one_tap, "--unix", path) as other:
                assert other.process.wait(timeout=60) == 1
                other.said("in use by another server")


def test_sigterm_ends_the_server_during_an_upload(one_tap: Path) -> None:
    with serving(one_tap) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        idle = socket.create_connection(("127.0.0.1", server.port))
        assert server.ask("GET", "/health").status == 200  # so that the upload has begun
        assert server.service.stop() == 0
        assert connection.recv(4096).startswith(b"HTTP/1.1 503 ")
        idle.close()
        assert server.service.count("Traceback") == 0


def test_a_request_under_way_is_answered_before_the_server_ends(one_tap: Path, photo: bytes) -> None:
    with serving(one_tap) as server:
        statuses = []

        def ask() -> None:
            with contextlib.suppress(OSError):  # the server has ended
                while True:
                    statuses.append(server.ask("POST", "/features", photo).status)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(statuses) < 20:
            server.ask("GET", "/health")
        assert server.service.stop() == 0
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}


def test_the_service_manager_is_told(one_tap: Path, tmp_path: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("there is no systemd")
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
        with serving(one_tap, env=environment) as server:
            heard: set[str] = set()
            while not {"READY=1", "WATCHDOG=1"} <= heard:
                heard |= set(manager.recv(4096).decode().splitlines())
            server.service.process.terminate()
            while "STOPPING=1" not in heard:
                heard |= set(manager.recv(4096).decode().splitlines())


def test_a_port_in_use_is_named(one_tap: Path, server: Server) -> None:
    with running("serve", one_tap, "--port", str(server.port)) as service:
        assert service.process.wait(timeout=60) == 1
        service.said(f"port {server.port} of 127.0.0.1 cannot be used")


def test_the_page_in_a_browser_says_what_is_served(server: Server, one_tap: Path, tmp_path: Path) -> None:
    chromium = os.environ.get("EDGEFEAT_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    command = [chromium, "--headless", "--no-sandbox", f"--user-data-dir={tmp_path}", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, "--dump-dom", f"http://127.0.0.1:{server.port}/"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert f'<h1 id="bundle">{edgefeat.Bundle.open(one_tap).manifest.name}</h1>' in done.stdout, done.stderr[-2000:]
