"""`edgefeat search` and `edgefeat.search`, against cosines computed another way."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.runtime.store.databases import made, write_album

import edgefeat
from edgefeat._version import install_command

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_album(tmp_path_factory.mktemp("album"))


@pytest.fixture(scope="module", params=["float32", "float16", "int8"])
def database(request: pytest.FixtureRequest, one_tap: Path, album: Path, tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("database")
    return made(one_tap, album, folder / "features.db", "--precision", request.param)


@pytest.fixture(scope="module")
def plain(one_tap: Path, album: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(one_tap, album, tmp_path_factory.mktemp("plain") / "features.db")


def reference(database: Path, query: NDArray[np.float32], count: int) -> list[tuple[str, float]]:
    """The nearest by NumPy alone, in float64."""
    with edgefeat.FeatureStore.open(database) as store:
        ((paths, features),) = store.chunks(rows=1000)
    rows, wanted = features.astype(np.float64), query.astype(np.float64)
    cosines = rows @ wanted / np.linalg.norm(rows, axis=1) / np.linalg.norm(wanted)
    return [(paths[row], float(cosines[row])) for row in np.argsort(-cosines, kind="stable")[:count]]


def test_the_nearest_are_those_of_numpy(database: Path, album: Path) -> None:
    with edgefeat.FeatureStore.open(database) as store:
        extractor = edgefeat.extractor_for(store)
        query = extractor.extract(album / "07.png")
        assert isinstance(query, np.ndarray)
        for count in (1, 5, 100):
            (found,) = edgefeat.search(store, query, count)
            expected = reference(database, query, count)
            assert [one.path for one in found] == [path for path, _ in expected]
            assert [one.cosine for one in found] == pytest.approx([cosine for _, cosine in expected], abs=2e-6)
        assert len(found) == 40
        assert {Path(one.path).name for one in found[:4]} == {"04.png", "05.png", "06.png", "07.png"}
        both = edgefeat.search(store, np.stack([query, -query]), 3)
        assert [one.path for one in both[0]] == [one.path for one in found[:3]]
        assert both[1][0].cosine == pytest.approx(-found[-1].cosine, abs=1e-6)
        for wrong in (query[:3], query[np.newaxis, np.newaxis]):
            with pytest.raises(edgefeat.ArgumentError, match=r"queries of shape .* \(allowed here: \(16,\)"):
                edgefeat.search(store, wrong)
        with pytest.raises(edgefeat.ArgumentError, match=r"k is 0 \(allowed: 1 or more\)"):
            edgefeat.search(store, query, 0)
        with pytest.raises(edgefeat.ArgumentError, match="tap 'x' is not in"):
            edgefeat.search(store, query, tap="x")
        with pytest.raises(edgefeat.ArgumentError, match="not finite"):
            edgefeat.search(store, query * np.nan)
        with pytest.raises(edgefeat.ArgumentError, match=r"k is '2' \(allowed: a whole number, 1 or more\)"):
            edgefeat.search(store, query, "2")  # type: ignore[arg-type]
        with pytest.raises(edgefeat.ArgumentError, match=r"of type str is not a feature .* extractor_for\(store\)"):
            edgefeat.search(store, "a.jpg")  # type: ignore[arg-type]
    refusing: list[Callable[[Any], Any]] = [edgefeat.extractor_for, edgefeat.duplicates]
    refusing.append(lambda store: edgefeat.search(store, query))
    for function in refusing:
        with pytest.raises(edgefeat.ArgumentError, match=r"store is .* \(allowed: a FeatureStore, such as"):
            function(str(database))


def test_the_command_prints_a_table_and_json(edgefeat_command: Run, plain: Path, album: Path) -> None:
    query = album / "07.png"
    done = edgefeat_command("search", plain, query, "-k", "3")
    assert done.returncode == 0, done.stderr
    header, *rows, about = done.stdout.splitlines()
    assert header.split() == ["cosine", "photo"]
    found = [row.split() for row in rows]
    assert [row[0] for row in found] == ["1", "2", "3"]
    assert {Path(row[2]).name for row in found} == {"04.png", "05.png", "06.png"}  # and not the query itself
    assert about.startswith("40 photos by ")
    done = edgefeat_command("search", plain, query, album / "20.png", "-k", "3", "--json")
    value = json.loads(done.stdout)
    assert value["database"]["photos"] == 40
    assert value["database"]["precision"] == "float32"
    assert value["index"] is False
    first, second = value["queries"]
    assert [f"{one['cosine']:.4f}" for one in first["neighbours"]] == [row[1] for row in found]
    assert [one["path"] for one in first["neighbours"]] == [row[2] for row in found]
    assert {Path(one["path"]).name for one in second["neighbours"]} == {"21.png", "22.png", "23.png"}


def test_an_unreadable_query_costs_that_query(edgefeat_command: Run, plain: Path, album: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes((album / "01.png").read_bytes()[:60])
    done = edgefeat_command("search", plain, "cut.png", album / "01.png", "--json")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("cut.png: cannot be decoded")
    value = json.loads(done.stdout)
    assert [one["path"] for one in value["failed"]] == ["cut.png"]
    assert [one["path"] for one in value["queries"]] == [str(album / "01.png")]
    table = edgefeat_command("search", plain, "cut.png", album / "01.png").stdout
    assert table.split()[:4] == ["query", "cosine", "photo", str(album / "01.png")]  # whose neighbours these are
    done = edgefeat_command("search", plain, "cut.png", "--sheet", "sheet.html")
    assert (done.returncode, done.stdout) == (1, "")
    assert not (tmp_path / "sheet.html").exists()


def test_a_query_may_be_as_large_and_as_truncated_as_is_asked_for(
    edgefeat_command: Run, plain: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) * 2 // 3])
    refused = edgefeat_command("search", plain, "cut.jpg")
    assert refused.returncode == 1
    advice = re.search(r"--truncated accept --least-share 0\.\d\d", refused.stderr)
    assert advice is not None
    assert edgefeat_command("search", plain, "cut.jpg", *advice[0].split()).returncode == 0
    done = edgefeat_command("search", plain, "whole.jpg", "--max-pixels", "9000")
    assert "to read it, use --max-pixels 10800" in done.stderr
    assert edgefeat_command("search", plain, "whole.jpg", "--max-pixels", "10800").returncode == 0


def test_only_the_bundle_of_the_database_is_taken(
    edgefeat_command: Run, one_tap: Path, album: Path, tmp_path: Path, altered: Callable[..., Path]
) -> None:
    def rename(manifest: dict[str, Any], folder: Path) -> None:
        manifest["name"] = "another"

    bundle = tmp_path / "mine.edgefeat"
    shutil.copytree(one_tap, bundle)
    database = made(bundle, album, tmp_path / "features.db")
    query = album / "03.png"
    expected = edgefeat_command("search", database, query).stdout
    bundle.rename(tmp_path / "moved.edgefeat")
    done = edgefeat_command("search", database, query)
    assert done.returncode == 1
    assert f"which is no longer at {str(bundle)!r}: give its folder with --bundle" in done.stderr
    assert edgefeat_command("search", database, query, "--bundle", "moved.edgefeat").stdout == expected
    other = altered(one_tap, rename)
    done = edgefeat_command("search", database, query, "--bundle", other)
    assert done.returncode == 2
    assert "is not the one that made" in done.stderr
    other.rename(bundle)
    done = edgefeat_command("search", database, query)
    assert done.returncode == 2
    assert "give that bundle with --bundle, or extract again" in done.stderr


def test_an_engine_that_is_not_installed_is_named(
    edgefeat_command: Run, plain: Path, album: Path, tmp_path: Path, installed: list[Any]
) -> None:
    from edgefeat._engines.registry import ENGINES

    absent = [engine for engine in ENGINES if engine.version() is None]
    if not absent:
        pytest.skip("every engine is installed")
    import contextlib
    import sqlite3

    database = tmp_path / "features.db"
    shutil.copy(plain, database)
    engine = absent[0]
    variant = "onnx-float32" if engine.format == "onnx" else "tflite-float32"
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for key, value in (("engine", engine.name), ("variant", variant)):
            connection.execute("UPDATE about SET value = ? WHERE key = ?", (json.dumps(value), key))
    done = edgefeat_command("search", database, album / "00.png")
    assert done.returncode == 1
    said = f"features.db holds features of {variant} on {engine.name}, which cannot be compared with another engine's: "
    assert said in done.stderr
    assert install_command(engine.extra) in done.stderr


def test_one_of_several_taps_is_searched(edgefeat_command: Run, two_taps: Path, album: Path, tmp_path: Path) -> None:
    database = made(two_taps, album, tmp_path / "features.db")
    done = edgefeat_command("search", database, album / "00.png")
    assert done.returncode == 2
    assert re_taps(database) in done.stderr
    with edgefeat.FeatureStore.open(database) as store:
        for tap in store.taps:
            answer = json.loads(
                edgefeat_command("search", database, album / "00.png", "--tap", tap.name, "-k", "2", "--json").stdout
            )
            feature = store.feature(str(album / "00.png"), tap.name)
            assert feature is not None
            (found,) = edgefeat.search(store, feature, 3, tap=tap.name)
            assert [one["path"] for one in answer["queries"][0]["neighbours"]] == [one.path for one in found[1:]]


def re_taps(database: Path) -> str:
    with edgefeat.FeatureStore.open(database) as store:
        return f"has several taps ({', '.join(one.name for one in store.taps)}): choose one with --tap"


def test_wrong_use_is_told_before_the_work(edgefeat_command: Run, plain: Path, album: Path, tmp_path: Path) -> None:
    query = album / "00.png"
    for arguments, said in (
        ([plain, query, "--sheet", "sheet.pdf"], "has an unknown file extension (allowed: .html, .png)"),
        ([plain, query, "--sheet", "none/sheet.png"], "its folder does not exist"),
        ([plain, query, "-k", "0"], "0 is not in the range"),
        ([plain], "Missing argument"),
    ):
        done = edgefeat_command("search", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    done = edgefeat_command("search", tmp_path / "none.db", query)
    assert done.returncode == 1
    assert "does not exist" in done.stderr


def test_photos_that_are_gone_are_still_found(
    edgefeat_command: Run, one_tap: Path, album: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copies"
    shutil.copytree(album, folder)
    database = made(one_tap, folder, tmp_path / "features.db")
    shutil.rmtree(folder)
    done = edgefeat_command("search", database, album / "07.png", "-k", "4", "--sheet", "sheet.html", "--json")
    assert done.returncode == 0
    found = [one["path"] for one in json.loads(done.stdout)["queries"][0]["neighbours"]]
    assert found[0] == str(folder / "07.png")
    assert (tmp_path / "sheet.html").read_text().count("no such file") == 4


def test_a_tap_that_is_not_there_is_told_before_the_work(
    edgefeat_command: Run, two_taps: Path, album: Path, tmp_path: Path
) -> None:
    database = made(two_taps, album, tmp_path / "two.db")
    done = edgefeat_command("search", database, tmp_path / "none.jpg", "--tap", "nope")
    assert done.returncode == 2
    assert "tap 'nope' is not in" in done.stderr
    assert "none.jpg" not in done.stderr


def test_a_query_behind_a_link_is_not_its_own_neighbour(
    edgefeat_command: Run, plain: Path, album: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(album)
    arguments = ("search", plain, tmp_path / "link" / "07.png", album / "07.png", "-k", "3", "--json")
    linked, direct = json.loads(edgefeat_command(*arguments).stdout)["queries"]
    assert linked["neighbours"] == direct["neighbours"]
    assert len(linked["neighbours"]) == 3


def test_a_sheet_never_replaces_a_photo(edgefeat_command: Run, one_tap: Path, album: Path, tmp_path: Path) -> None:
    shutil.copytree(album, tmp_path / "photos")
    database = made(one_tap, tmp_path / "photos", tmp_path / "f.db")
    shutil.copy(album / "00.png", tmp_path / "query.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    for arguments in (
        ("search", database, "query.png", "--sheet", "query.png"),
        ("search", database, "query.png", "--sheet", "photos/01.png"),
        ("duplicates", database, "--sheet", "photos/01.png"),
    ):
        done = edgefeat_command(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "would replace a photo" in done.stderr
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
