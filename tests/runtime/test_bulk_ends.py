"""`edgefeat extract --into`: no row is lost, whatever ends a run, a worker or the disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.runtime.databases import end, events, rows

import edgefeat

Run = Callable[..., subprocess.CompletedProcess[str]]

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and files")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty photos that take a while each, every tenth broken. To be read only."""
    folder = tmp_path_factory.mktemp("many")
    random = np.random.default_rng(1)
    for index in range(60):
        path = folder / f"{index:03d}.png"
        if index % 10 == 9:
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + random.bytes(100))
        else:
            coarse = random.integers(0, 256, (4, 5, 3), np.uint8)
            Image.fromarray(coarse).resize((900, 700)).save(path, compress_level=1)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, one_tap: Path, many: Path) -> Path:
    """The database of an uninterrupted run on `many`. To be read only."""
    database = tmp_path_factory.mktemp("whole") / "whole.db"
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), str(many), "--into", str(database)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert len(rows(database)) == 60
    return database


def test_killed_at_any_moment_it_goes_on_to_the_same_rows(
    edgefeat_command: Run, one_tap: Path, many: Path, whole: Path, tmp_path: Path
) -> None:
    expected = rows(whole)
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), str(many), "--into", "f.db"]
    kills = 0
    for delay in (0.1, 0.3, 0.5, 0.8, 1.2):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        kills += process.poll() is None
        process.kill()
        process.wait()
        journal = tmp_path / "f.db-wal"
        if delay > 0.4 and journal.exists():
            os.truncate(journal, journal.stat().st_size * 2 // 3)
    assert kills > 1
    edgefeat_command("extract", one_tap, many, "--into", "f.db")
    assert rows(tmp_path / "f.db") == expected
    assert [path.name for path in tmp_path.glob("f.db*")] == ["f.db"]


def test_a_damaged_database_keeps_its_whole_rows_and_computes_the_rest(
    edgefeat_command: Run, one_tap: Path, many: Path, whole: Path, tmp_path: Path
) -> None:
    database = tmp_path / "f.db"
    shutil.copy(whole, database)
    expected = rows(database)
    with edgefeat.FeatureStore.open(database) as store:
        feature = store.feature(str(many / "030.png"))
        assert feature is not None
    data = database.read_bytes()
    spoiled = bytearray(data)
    spoiled[spoiled.index(feature.tobytes()) + 7] ^= 1  # one bit of one feature
    database.write_bytes(spoiled)
    with pytest.raises(edgefeat.StoreError, match=r"030.png is damaged.* --check.* repairs it"):
        rows(database)
    last = edgefeat_command("extract", one_tap, many, "--into", "f.db", "--check", "--json")
    assert "f.db was damaged: 59 intact rows were kept" in events(last)[0]["text"]
    assert end(last)["computed"] == 1
    assert rows(database) == expected

    database.write_bytes(data[: len(data) // 2])
    done = edgefeat_command("extract", one_tap, many, "--into", "f.db", "--check")
    assert "Traceback" not in done.stderr
    assert rows(database) == expected


@posix_only
def test_a_full_disk_is_said_and_the_same_command_goes_on(
    edgefeat_command: Run, one_tap: Path, many: Path, whole: Path, tmp_path: Path
) -> None:
    import resource

    for limit in (1, 40_000, 120_000):
        done = edgefeat_command(
            "extract",
            one_tap,
            many,
            "--into",
            "f.db",
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 1
        assert "the same `edgefeat extract ... --into` resumes" in done.stderr
        assert "Traceback" not in done.stderr
    edgefeat_command("extract", one_tap, many, "--into", "f.db")
    assert rows(tmp_path / "f.db") == rows(whole)


def test_a_database_that_is_being_written_is_left_to_its_writer(
    edgefeat_command: Run, one_tap: Path, many: Path, folder: Path, tmp_path: Path
) -> None:
    from edgefeat._store.writer import StoreWriter

    edgefeat_command("extract", one_tap, "in", "--into", "f.db")
    writer, _ = StoreWriter.open(tmp_path / "f.db")
    try:
        done = edgefeat_command("extract", one_tap, many, "--into", "f.db")
        assert done.returncode == 1
        assert "f.db is in use by another process" in done.stderr
        with pytest.raises(edgefeat.StoreError, match="is in use by another process"):
            rows(tmp_path / "f.db")
    finally:
        writer.close()
    assert len(rows(tmp_path / "f.db")) == 14


def _workers(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def _busy_worker(process: subprocess.Popen[str], database: Path) -> int:
    """A worker of a run that has begun to write rows."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        journal = Path(f"{database}-wal")
        if journal.exists() and journal.stat().st_size > 40_000 and (workers := _workers(process.pid)):
            return workers[-1]
        time.sleep(0.02)
    raise AssertionError("the run never began")


@linux_only
def test_workers_that_are_killed_are_replaced_and_no_photo_is_lost(
    edgefeat_command: Run, one_tap: Path, many: Path, whole: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), str(many), "--into", "f.db", "--workers", "2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    os.kill(_busy_worker(process, tmp_path / "f.db"), signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert rows(tmp_path / "f.db") == rows(whole)
    assert "a worker died of SIGKILL at " in said or said.count("\n") == 6


@linux_only
@pytest.mark.parametrize("started", [1, 2])
def test_a_worker_killed_before_it_has_loaded_is_replaced(
    started: int, edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    """The second one waits, until the first has chosen what both load."""
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), "in", "--into", "f.db"]
    process = subprocess.Popen(
        [*command, "--workers", str(started)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while len(workers := _workers(process.pid)) < started and process.poll() is None:
        time.sleep(0.002)
    os.kill(max(workers), signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(rows(tmp_path / "f.db")) == 14


@linux_only
def test_a_photo_that_hangs_or_kills_its_worker_twice_is_a_failed_row(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    photos = [*sorted(folder.glob("*.png"))[:3], folder / "vast.png"]  # few: on a slow machine each may take too long
    Image.new("RGB", (8000, 7900)).save(folder / "vast.png", compress_level=1)
    done = edgefeat_command("extract", one_tap, *photos, "--into", "f.db", "--photo-seconds", "0.1", "--json")
    assert done.returncode == 1
    found = rows(tmp_path / "f.db")
    assert found.keys() == set(map(str, photos))
    hung = "quarantined: the worker took longer than 0.1 s and was stopped, twice"
    assert found[str(folder / "vast.png")][3:5] == ("failed", hung)
    assert {row[4] for row in found.values()} <= {None, hung}
    last = end(edgefeat_command("extract", one_tap, *photos, "--into", "f.db", "--json", "--retry-failed"))
    assert (last["unchanged"] + last["computed"], last["failed"]) == (4, 0)


@linux_only
def test_a_photo_that_needs_more_memory_than_a_worker_may_take_fails_alone(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (9000, 7000)).save(folder / "vast.png")  # 252 MB when it is decoded
    last = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json", "--worker-memory", "200"))
    assert (last["computed"], last["failed"]) == (11, 4)
    found = rows(tmp_path / "f.db")
    assert (
        found[str(folder / "vast.png")][4]
        == "needs more memory than a worker may use (200 MB; raise the limit with --worker-memory)"
    )
    last = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json", "--retry-failed"))
    assert (last["computed"], last["failed"]) == (1, 3)


@posix_only
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_ends_at_once_and_says_how_to_go_on(
    edgefeat_command: Run, one_tap: Path, many: Path, whole: Path, tmp_path: Path, number: int, status: int
) -> None:
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), str(many), "--into", "f.db", "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    until = time.monotonic() + 60
    while not (tmp_path / "f.db-wal").exists() and time.monotonic() < until:
        time.sleep(0.01)
    asked = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - asked < 2
    assert process.returncode == status
    assert said.splitlines()[-2].startswith("edgefeat: interrupted")
    assert said.splitlines()[-1] == f"edgefeat extract {one_tap} {many} --into f.db --workers=1"
    edgefeat_command("extract", one_tap, many, "--into", "f.db")
    assert rows(tmp_path / "f.db") == rows(whole)


def hot_device(folder: Path) -> dict[str, str]:
    """The environment of a Raspberry Pi that slows itself for as long as `<folder>/flags` says so."""
    tool = folder / "vcgencmd"
    folder.mkdir()
    (folder / "flags").write_text("throttled=0xe0008\n")
    tool.write_text(f"#!/bin/sh\ncat '{folder / 'flags'}'\n")
    tool.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@posix_only
@pytest.mark.parametrize("once", ["f.db", "f.db-wal"])
def test_stopped_before_the_first_photo_it_leaves_no_file_and_goes_on_with_the_same_options(
    one_tap: Path, many: Path, tmp_path: Path, once: str
) -> None:
    variant = edgefeat.load(one_tap).variant
    options = ["--variant", variant, "--precision", "int8", "--workers", "1", "--retry-failed"]
    # Without a look through the folders that lasts, the run has begun; hot as it is, it never does a photo.
    named = [str(many)] * (4000 if once == "f.db" else 1)
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), *named, "--into", "f.db", *options, "--exact"]
    process = subprocess.Popen(
        [*command, "--pause-when-hot=119"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=hot_device(tmp_path.parent / f"{tmp_path.name}-bin"),
    )
    until = time.monotonic() + 60
    while not (tmp_path / once).exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    *_, first, again = said.splitlines()
    assert first == "edgefeat: interrupted before any photo was done. Resume with:"
    more = "--exact --precision=int8 --workers=1 --retry-failed --pause-when-hot=119.0"
    assert again.endswith(f"--into f.db --variant={variant} {more}")
    assert list(tmp_path.iterdir()) == []


@posix_only
def test_where_nobody_reads_its_lines_any_more_it_ends_and_says_so(one_tap: Path, many: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgefeat", "extract", one_tap, many, "--into", "f.db", "--json"]
    process = subprocess.Popen([*map(str, command)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["event"] == "start"
    process.stdout.close()
    said = process.stderr.read().decode()
    assert process.wait(60) == 1
    assert "edgefeat: standard output was closed, which ended the run" in said
    assert said.splitlines()[-1] == f"edgefeat extract {one_tap} {many} --into f.db --json"


@posix_only
def test_a_hot_device_rests_until_it_is_cooler(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    environment = hot_device(tmp_path / "bin")
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), "in", "--into", "f.db", "--json"]
    process = subprocess.Popen(
        [*command, "--pause-when-hot=119"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    kinds = []
    for line in process.stdout:
        event = json.loads(line)
        kinds.append(event["event"])
        if event["event"] == "note":
            assert event["text"].startswith(("paused: it is throttled (0xe0008)", "resumed"))
            (tmp_path / "bin" / "flags").write_text("throttled=0xe0000\n")
    assert process.wait() == 1
    assert kinds.count("note") == 2
    assert len(rows(tmp_path / "f.db")) == 14


def test_a_device_that_tells_no_temperature_cannot_pause(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    if Path("/sys/class/thermal/thermal_zone0/temp").exists() or shutil.which("vcgencmd"):
        pytest.skip("this device tells its temperature")
    done = edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--pause-when-hot")
    assert done.returncode == 2
    assert "this device reports no temperature" in done.stderr
    assert not (tmp_path / "f.db").exists()
