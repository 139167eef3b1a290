"""Writers of one database beside each other and through links: none loses what another has written."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.services.services import wait_for
from tests.runtime.store.databases import write_many

import edgefeat
from edgefeat._store import lookup
from edgefeat._store.encoding import encode
from edgefeat._store.locking import locked
from edgefeat._store.records import Photo, StoreIdentity, StoreTap, Versions
from edgefeat._store.repair import looks_interrupted
from edgefeat._store.schema import connect
from edgefeat._store.writer import StoreWriter

IDENTITY = StoreIdentity(
    "demo", "/nowhere", "ab" * 32, "onnx-int8", "onnxruntime", "fast", "float32", (StoreTap("features", (4,)),)
)
VERSIONS = Versions("1", "2", "3")


def put(writer: StoreWriter, path: str, size: int = 4, sha256: str = "0" * 64, *, ok: bool = True) -> None:
    scales, data = encode([np.ones(4, np.float32)], "float32") if ok else (b"", b"")
    writer.put(Photo(path, size, 2, sha256, "ok" if ok else "failed", None, writer.run), scales, data)


def openings(path: Path) -> int:
    """How often this process has the file open, also if it was removed since."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:  # that of the listing
            continue
        found += target.removesuffix(" (deleted)") == str(path)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to see that a writer waits")
def test_a_writer_that_waited_for_a_file_that_was_removed_has_the_lock_of_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    first, _ = locked(path)
    found: list[sqlite3.Connection] = []
    thread = threading.Thread(target=lambda: found.append(locked(path)[0]))
    thread.start()
    wait_for(lambda: openings(path) == 2)
    path.unlink()
    first.close()
    thread.join(timeout=60)
    with found[0] as connection:
        connection.execute("CREATE TABLE kept (id)")
    connection.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("kept",)]
    connection.close()


def test_a_run_that_is_given_up_is_not_taken_for_one_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    writer, _ = StoreWriter.open(path)
    writer.begin(IDENTITY, VERSIONS)
    put(writer, "/a.jpg")
    writer.commit()
    put(writer, "/b.jpg")
    writer.abandon()
    assert not looks_interrupted(path)
    with edgefeat.FeatureStore.open(path) as store:
        assert list(store.paths()) == ["/a.jpg"]


def test_a_check_shows_that_it_goes_on(tmp_path: Path) -> None:
    write_many(tmp_path / "f.db", 2000, 8)
    signs: list[None] = []
    writer, repaired = StoreWriter.open(tmp_path / "f.db", check=True, alive=lambda: signs.append(None))
    writer.close()
    assert repaired is None
    assert signs


def test_a_link_to_a_database_stays_a_link(tmp_path: Path) -> None:
    drive, link = tmp_path / "drive", tmp_path / "f.db"
    drive.mkdir()
    link.symlink_to(drive / "f.db")
    writer, _ = StoreWriter.open(link)
    writer.abandon()
    assert link.is_symlink()
    assert not os.listdir(drive)
    write_many(link, 500, 64)
    with open(drive / "f.db", "r+b") as stream:  # in the middle of the features
        stream.seek(os.path.getsize(drive / "f.db") // 2)
        stream.write(b"\xff" * 2000)
    writer, repaired = StoreWriter.open(link, check=True)
    writer.close()
    assert repaired is not None
    assert "was damaged" in repaired
    assert link.is_symlink()
    assert os.listdir(drive) == ["f.db"]
    with edgefeat.FeatureStore.open(link) as store:
        assert 400 < len(store) < 500


def test_known_contents_of_a_size_are_found_among_many_photos_of_it(tmp_path: Path) -> None:
    writer, _ = StoreWriter.open(tmp_path / "f.db")
    writer.begin(IDENTITY, VERSIONS)
    contents = [f"{number:064x}" for number in range(40)]
    for number in range(4000):
        put(writer, f"/{number}.jpg", 7, contents[number % 40])
        put(writer, f"/empty {number}.jpg", 0, "e" * 64, ok=False)
    put(writer, "/other.jpg", 8, "f" * 64)
    assert writer.hashes_of_size(7) == contents[:32]
    assert writer.hashes_of_size(8) == ["f" * 64]
    assert writer.hashes_of_size(0) == []
    assert writer.hashes_of_size(9) == []
    writer.close()
    # Each content is looked up, not each photo.
    connection = connect(tmp_path / "f.db", "ro")
    steps: list[None] = []
    connection.set_progress_handler(lambda: steps.append(None), 1)
    lookup.hashes_of_size(connection, 7)
    connection.close()
    assert len(steps) < 32 * 30


def test_a_database_without_the_index_of_contents_gets_it(tmp_path: Path) -> None:
    writer, _ = StoreWriter.open(tmp_path / "f.db")
    writer.begin(IDENTITY, VERSIONS)
    put(writer, "/a.jpg")
    writer.close()
    for statement in ("DROP INDEX photos_by_content", None):
        with sqlite3.connect(tmp_path / "f.db") as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
            assert "photos_by_content" in names
            if statement:
                connection.execute(statement)
        connection.close()
        writer, _ = StoreWriter.open(tmp_path / "f.db")
        assert writer.hashes_of_size(4) == ["0" * 64]
        writer.begin(IDENTITY, VERSIONS)
        writer.close()


def test_paths_below_a_folder_go_on_after_any_of_them(tmp_path: Path) -> None:
    names = ["/p/a.jpg", "/p/ä.jpg", "/p/z/1.jpg", "/p/\udcff.jpg", "/p/\udcffz/2.jpg", "/q/b.jpg"]
    writer, _ = StoreWriter.open(tmp_path / "f.db")
    writer.begin(IDENTITY, VERSIONS)
    for number, name in enumerate(names):
        put(writer, name, number)
    writer.close()
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        whole = store.paths_below("/p")
        assert sorted(whole) == sorted(names[:-1])
        for place, name in enumerate(whole):
            assert store.paths_below("/p", after=name) == whole[place + 1 :]
