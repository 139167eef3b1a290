"""Where `edgefeat watch` writes goes away and comes back, and is written by others: the watch goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.services.services import running, service_manager, wait_for
from tests.runtime.services.watches import paths, watching
from tests.runtime.store.databases import write_many

import edgefeat
from edgefeat._bulk.messages import Answer, Loaded, Task
from edgefeat._commands.services.watch.results.database import DatabaseResults
from edgefeat._commands.services.watch.results.protocol import Done
from edgefeat._store.encoding import encode


def names(lines: Path) -> list[str]:
    return [os.path.basename(json.loads(line)["path"]) for line in lines.read_text().splitlines()]


@pytest.mark.parametrize("option", ["--into", "-o"])
def test_a_drive_that_goes_is_waited_for(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path, option: str
) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    output = drive / ("features.db" if option == "--into" else "features.jsonl")
    shutil.copy(photos[0], incoming / "0.png")
    with running(*watching(one_tap, incoming, option, output)) as service:
        service.said("0.png: added")
        os.rename(drive, tmp_path / "pulled")
        shutil.copy(photos[1], incoming / "1.png")
        service.said("is out of reach")
        os.rename(tmp_path / "pulled", drive)
        service.said("1.png: added")
        assert service.count("0.png: added") == 1
        assert service.stop() == 0
    found = sorted(paths(output)) if option == "--into" else names(output)
    assert found == ["0.png", "1.png"]


@pytest.mark.parametrize("is_made_anew", [False, True], ids=["moved", "replaced"])
def test_lines_go_to_the_file_that_has_the_name_after_a_rotation(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path, is_made_anew: bool
) -> None:
    output = tmp_path / "features.jsonl"
    shutil.copy(photos[0], incoming / "0.png")
    with running(*watching(one_tap, incoming, "-o", output)) as service:
        service.said("0.png: added")
        os.rename(output, tmp_path / "features.jsonl.1")
        if is_made_anew:  # `create` of logrotate
            output.touch()
        shutil.copy(photos[1], incoming / "1.png")
        service.said("1.png: added")
        assert service.stop() == 0
    assert names(tmp_path / "features.jsonl.1") == ["0.png"]
    assert names(output) == ["1.png"]


def test_a_photo_whose_known_content_has_gone_is_computed(tmp_path: Path) -> None:
    """`mv latest.jpg previous.jpg`, and a new `latest.jpg`, answered first."""
    write_many(tmp_path / "f.db", 3, 4)
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        identity, old = store.identity, next(iter(store.rows()))
    results = DatabaseResults(tmp_path / "f.db", print, lambda: None)
    results.begin(identity, Loaded("tflite-float32", "litert", "", "1", "2", "3"))
    scales, data = encode([np.ones(4, np.float32)], "float32")
    latest = Done(Task(old.path, ()), Answer(77, 7, "7" * 64, False, None, len(scales), len(data)), scales + data)
    assert old.sha256 is not None
    previous = Done(Task("/photos/previous.jpg", (old.sha256,)), Answer(old.size, 7, old.sha256, True, None, 0, 0), b"")
    written = results.write([latest, previous], [])
    assert written.added == [old.path]
    assert written.again == [Task("/photos/previous.jpg", ())]  # without a content that would be looked for again
    results.close()


def test_photos_are_listed_to_the_end_while_others_are_written(tmp_path: Path) -> None:
    write_many(tmp_path / "f.db", 2500, 4)
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        identity, whole = store.identity, list(store.paths())
    results = DatabaseResults(tmp_path / "f.db", print, lambda: None)
    results.begin(identity, Loaded("tflite-float32", "litert", "", "1", "2", "3"))
    found = []
    for number, path in enumerate(results.below("/photos")):
        found.append(path)
        if number % 700 == 0:
            assert results.write([], [path]).removed == [path]
    assert found == whole
    results.close()


def test_who_reads_the_events_and_ends_makes_the_watch_fail(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "edgefeat", *watching(one_tap, incoming, "--into", tmp_path / "f.db", "--json")]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        shutil.copy(photos[0], incoming / "0.png")
        assert process.wait(timeout=60) == 1
        assert process.stderr is not None
        assert "standard output was closed, which ended the watch" in process.stderr.read()


def test_a_check_at_the_start_asks_the_service_manager_for_time(
    one_tap: Path, incoming: Path, photos: list[str], tmp_path: Path
) -> None:
    with (
        service_manager(tmp_path) as (manager, environment),
        running(*watching(one_tap, incoming, "--into", tmp_path / "a.db"), env=environment) as service,
    ):
        heard: list[str] = []
        while "READY=1" not in heard:
            heard += manager.recv(4096).decode().splitlines()
        wait_for(lambda: service.count("watching"))
    assert "EXTEND_TIMEOUT_USEC=400000" in heard
    assert "WATCHDOG=1" not in heard
