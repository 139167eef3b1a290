"""`edgefeat serve`: the features that `extract` gives, the search, the metrics, the description and the page."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.services.services import running
from tests.runtime.services.serving import Server, multipart, needs_serve, serving

import edgefeat
from edgefeat._store.writer import StoreWriter

pytestmark = needs_serve


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


def test_a_database_that_does_not_exist_yet_is_said_to_and_waited_for(
    one_tap: Path, tmp_path: Path, photo: bytes
) -> None:
    with running("serve", one_tap, "--port", "0", "--database", tmp_path / "later.db") as service:
        assert "searches are answered with 503 until `edgefeat watch`" in service.said("later.db does not exist yet")
    with serving(one_tap, "--database", tmp_path / "later.db") as server:
        assert server.ask("POST", "/search", photo).status == 503


def test_a_database_that_is_being_written_is_waited_for(one_tap: Path, photos: list[str], tmp_path: Path) -> None:
    database = tmp_path / "features.db"
    with running("extract", one_tap, *photos, "--into", database) as service:
        assert service.process.wait(timeout=120) == 0
    writer, _ = StoreWriter.open(database)  # as `edgefeat extract` holds it, for hours
    try:
        with serving(one_tap, "--database", database) as server:
            server.service.said("in use by another process")
            assert server.ask("POST", "/search", Path(photos[1]).read_bytes()).status == 503
            writer.close()
            assert server.ask("POST", "/search", Path(photos[1]).read_bytes()).status == 200
    finally:
        writer.abandon()


def test_an_empty_file_is_a_database_that_does_not_exist_yet(one_tap: Path, tmp_path: Path, photo: bytes) -> None:
    (tmp_path / "new.db").touch()
    with serving(one_tap, "--database", tmp_path / "new.db") as server:
        assert server.ask("POST", "/search", photo).status == 503


def test_another_path_or_method_is_answered_with_those_that_are_there(server: Server) -> None:
    answer = server.ask("GET", "/features")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert answer.json["error"] == "GET /features is not supported: send POST /features"
    answer = server.ask("POST", "/info", b"x")
    assert (answer.status, answer.json["error"]) == (405, "POST /info is not supported: send GET /info")
    answer = server.ask("POST", "/feature", b"x")
    assert answer.status == 404
    assert "'/feature'" in answer.json["error"]
    assert "POST /features, POST /search, GET /health, GET /info, " in answer.json["error"]


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
