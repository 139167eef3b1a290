"""`edgefeat serve`: who may ask. Hosts, origins, tokens, ambiguous requests and paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runtime.services.services import running
from tests.runtime.services.serving import Server, needs_serve, serving

pytestmark = needs_serve


TOKEN = "0123456789abcdef0123456789abcdef"  # of the tests


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
