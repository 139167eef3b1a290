"""`edgefeat search --index`: nearly the exact answer, from an index that follows its database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.store.databases import made, write_album, write_many

import edgefeat
from edgefeat._version import install_command

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_album(tmp_path_factory.mktemp("album"))


@pytest.fixture(scope="module")
def plain(one_tap: Path, album: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(one_tap, album, tmp_path_factory.mktemp("plain") / "features.db")


def test_an_index_finds_nearly_all_and_follows_the_database(
    edgefeat_command: Run, plain: Path, one_tap: Path, album: Path, tmp_path: Path
) -> None:
    pytest.importorskip("usearch", reason="the extra index is not installed")
    features = write_many(tmp_path / "many.db", 6000, 64)
    with edgefeat.FeatureStore.open(tmp_path / "many.db") as store:
        queries = features[::100] + 0.3 * np.random.default_rng(1).standard_normal((60, 64)).astype(np.float32)
        exact = edgefeat.search(store, queries, 10)
        with pytest.raises(edgefeat.ArgumentError, match="k is 0"):
            edgefeat.search(store, queries, 0, index=True)
        near = edgefeat.search(store, queries, 10, index=True)
        stamp = (tmp_path / "many.db.index" / "vectors").stat().st_mtime_ns
        assert edgefeat.search(store, queries, 10, index=True) == near
        assert (tmp_path / "many.db.index" / "vectors").stat().st_mtime_ns == stamp
    folder, beside = (tmp_path / "many.db.index").stat(), (tmp_path / "many.db").stat()
    assert folder.st_mode & 0o444 == beside.st_mode & 0o444  # who may read the database may search by its index
    cosines = [{one.path: one.cosine for one in row} for row in exact]
    recall = [len({one.path for one in row} & known.keys()) / 10 for row, known in zip(near, cosines, strict=True)]
    assert np.mean(recall) > 0.98
    for row, known in zip(near, cosines, strict=True):  # the cosines are those of the stored features, not the index's
        assert all(one.cosine == pytest.approx(known[one.path], abs=1e-6) for one in row if one.path in known)
        assert [one.cosine for one in row] == sorted((one.cosine for one in row), reverse=True)
    vectors = tmp_path / "many.db.index" / "vectors"
    vectors.write_bytes(vectors.read_bytes()[:1000])  # cut, and so built again
    with edgefeat.FeatureStore.open(tmp_path / "many.db") as store:
        # Threads build it, each time a little differently, so that one or two of the nearest may be missed.
        again = edgefeat.search(store, queries, 1, index=True)
        assert np.mean([row[0] == known[0] for row, known in zip(again, near, strict=True)]) > 0.9
    database = tmp_path / "features.db"
    shutil.copy(plain, database)
    query = album / "07.png"
    arguments = ("search", database, query, "-k", "3", "--json")
    exactly = json.loads(edgefeat_command(*arguments, "--exact").stdout)
    by_index = json.loads(edgefeat_command(*arguments, "--index").stdout)
    assert by_index["index"] is True
    assert by_index["queries"] == exactly["queries"]
    shutil.copy(query, tmp_path / "one more.png")
    made(one_tap, tmp_path / "one more.png", database)
    again = json.loads(edgefeat_command(*arguments, "--index").stdout)
    assert again["queries"][0]["neighbours"][0]["path"] == str(tmp_path / "one more.png")


def test_what_a_killed_build_of_the_index_left_is_removed_and_one_at_work_stays(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra index is not installed")
    write_many(tmp_path / "many.db", 100, 64)
    for name, hours in (("killed", 48), ("working", 1)):
        left = tmp_path / f".many.db.index.{name}"
        left.mkdir()
        (left / "paths").write_bytes(b"photo.jpg")
        for one in (left / "paths", left):
            os.utime(one, (time.time() - hours * 3600,) * 2)
    with edgefeat.FeatureStore.open(tmp_path / "many.db") as store:
        edgefeat.search(store, np.ones(64, np.float32), 1, index=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == [".many.db.index.working", "many.db", "many.db.index"]


def test_without_its_extra_the_index_names_the_command(
    edgefeat_command: Run, plain: Path, album: Path, tmp_path: Path
) -> None:
    (tmp_path / "usearch.py").write_text("raise ImportError\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = edgefeat_command("search", plain, album / "00.png", "--index", env=environment)
    assert done.returncode == 1
    assert install_command("index") in done.stderr
    assert edgefeat_command("search", plain, album / "00.png", env=environment).returncode == 0


def test_a_small_index_misses_nothing_however_often_it_is_built(tmp_path: Path) -> None:
    """Threads that began a graph together left photos that no search reached: up to 1.5 % of 500."""
    pytest.importorskip("usearch", reason="the extra index is not installed")
    features = write_many(tmp_path / "many.db", 500, 64)
    with edgefeat.FeatureStore.open(tmp_path / "many.db") as store:
        exact = [[one.path for one in row] for row in edgefeat.search(store, features, 3)]
        for _ in range(4):
            near = edgefeat.search(store, features, 3, index=True)
            assert [[one.path for one in row] for row in near] == exact
            shutil.rmtree(tmp_path / "many.db.index")


@pytest.mark.parametrize("name", ["vectors", "paths", "ends"])
def test_a_damaged_index_of_the_same_size_is_built_again(name: str, tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra index is not installed")
    features = write_many(tmp_path / "many.db", 500, 64)
    file = tmp_path / "many.db.index" / name
    with edgefeat.FeatureStore.open(tmp_path / "many.db") as store:
        found = edgefeat.search(store, features[:5], 3, index=True)
        for damage in (bytes(file.stat().st_size), os.urandom(file.stat().st_size)):
            file.write_bytes(damage)
            assert edgefeat.search(store, features[:5], 3, index=True) == found
            assert file.read_bytes() != damage


def test_builds_of_the_index_at_once_all_give_the_answer(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra index is not installed")
    write_many(tmp_path / "many.db", 300, 64)
    program = (
        "import shutil, sys, numpy as np, edgefeat\n"
        "with edgefeat.FeatureStore.open(sys.argv[1]) as store:\n"
        "    for _ in range(30):\n"
        "        (row,) = edgefeat.search(store, np.ones(64, np.float32), 3, index=True)\n"
        "        assert len(row) == 3\n"
        "        shutil.rmtree(sys.argv[1] + '.index', ignore_errors=True)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "many.db")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[1] for process in running] == [""] * 4
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_in_the_place_of_the_index_is_never_replaced(tmp_path: Path) -> None:
    pytest.importorskip("usearch", reason="the extra index is not installed")
    write_many(tmp_path / "many.db", 20, 8)
    (tmp_path / "many.db.index").mkdir()
    (tmp_path / "many.db.index" / "mine.txt").write_text("mine")
    refused = pytest.raises(edgefeat.OutputError, match=r"contains 'mine.txt': move that away")
    with edgefeat.FeatureStore.open(tmp_path / "many.db") as store, refused:
        edgefeat.search(store, np.ones(8, np.float32), 1, index=True)
    assert (tmp_path / "many.db.index" / "mine.txt").read_text() == "mine"
