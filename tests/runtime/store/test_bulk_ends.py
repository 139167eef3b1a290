"""`edgefeat extract --into`: no row is lost, whatever ends a run, a worker or the disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.runtime.store.databases import end, events, rows

import edgefeat
from edgefeat._bulk.messages import Task, WorkerSettings
from edgefeat._bulk.plan import Work
from edgefeat._bulk.worker_pool import Workers
from edgefeat._bulk.worker_process import EarlyWorkers

Run = Callable[..., subprocess.CompletedProcess[str]]

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and files")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")


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


def settings_of(bundle: Path) -> WorkerSettings:
    identity = edgefeat.Bundle.open(bundle).identity
    return WorkerSettings(str(bundle), identity, None, None, 1, "fast", "float32", 10**9, 10**8, 0.5)


@pytest.mark.parametrize(("photos", "least", "most"), [(1000, 3, 12), (8, 1, 2)])
def test_a_worker_gets_several_photos_at_first_and_few_towards_the_end(
    photos: int, least: int, most: int, one_tap: Path
) -> None:
    with EarlyWorkers(2) as early:
        workers = Workers(settings_of(one_tap), 2, early.events, seconds=60.0, waiting=early.processes)
        workers.start_first()
        while workers.first_loaded(1.0) is None:
            pass
        workers.start_others(photos)
        work = (Work(f"{number}.jpg", None) for number in range(photos))
        workers.take(work, photos, lambda one: Task(one.path, ()))
        assert workers.feed(resting=False)
        assert all(least <= len(worker.tasks) <= most for worker in early.processes)
        workers.end()


@linux_only
def test_a_worker_started_early_that_is_not_needed_ends(one_tap: Path) -> None:
    with EarlyWorkers(3) as early:
        workers = Workers(settings_of(one_tap), 2, early.events, seconds=60.0, waiting=early.processes)
        started = {worker.pid for worker in early.processes}
        workers.start_first()
        workers.start_others(9)
        assert len(started & {*_workers(os.getpid())}) == 2
        workers.start_others(1)
        assert len(started & {*_workers(os.getpid())}) == 1
        workers.end()
        assert not started & {*_workers(os.getpid())}
