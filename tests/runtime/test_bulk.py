"""`edgefeat extract --into`: rows that are right, added to, never mixed and never lost, whatever ends a run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import edgefeat

Run = Callable[..., subprocess.CompletedProcess[str]]

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and files")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")


def rows(database: Path) -> dict[str, tuple[Any, ...]]:
    """Everything the database says of each photo but the run, by path."""
    with edgefeat.FeatureStore.open(database) as store:
        features = {
            path: row.tobytes() for paths, chunk in store.chunks() for path, row in zip(paths, chunk, strict=True)
        }
        photos = list(store.rows())
    assert len({photo.path for photo in photos}) == len(photos)
    return {
        photo.path: (
            photo.size,
            photo.mtime_ns,
            photo.sha256,
            photo.status,
            photo.error,
            hashlib.sha256(features.get(photo.path, b"")).hexdigest(),
        )
        for photo in photos
    }


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The lines of JSON on standard output."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def end(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The last line of JSON."""
    last = events(done)[-1]
    assert last["event"] == "end"
    return last


@pytest.fixture
def folder(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    """Eleven photos in two folders, one name that is not ASCII, and three files that are no photo."""
    folder = tmp_path / "in"
    (folder / "süd").mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / ("süd" if index % 2 else "") / f"{index}.png")
    (folder / "empty.jpg").touch()
    (folder / "words.jpg").write_text("these are words")
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    return folder


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


def test_rows_hold_the_features_the_facts_and_the_reasons(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    done = edgefeat_command("extract", one_tap, "in", "--into", "f.db")
    assert done.returncode == 1
    assert done.stdout.startswith("11 features by tflite-float32 on ") or done.stdout.startswith("11 features by ")
    assert "; 3 photos failed." in done.stdout
    assert sorted(line.partition(": ")[0] for line in done.stderr.splitlines()) == sorted(
        str(folder / name) for name in ("cut.png", "empty.jpg", "words.jpg")
    )
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        assert (len(store), store.failed) == (11, 3)
        bundle = edgefeat.Bundle.open(one_tap)
        assert store.identity.manifest_sha256 == bundle.identity
        assert Path(store.identity.place) == one_tap
        assert [(tap.name, tap.shape) for tap in store.taps] == [(tap.name, tap.shape) for tap in bundle.manifest.taps]
        ((paths, features),) = store.chunks()
        extractor = edgefeat.load(one_tap, variant=store.identity.variant, engine=store.identity.engine, threads=1)
        np.testing.assert_array_equal(features, np.stack([np.asarray(extractor.extract(path)) for path in paths]))
        assert paths == sorted(paths, key=os.fsencode)
        assert len(list(store.chunks(rows=4))) == 3
        np.testing.assert_array_equal(store.feature(paths[3]), features[3])
        assert store.feature("nowhere.png") is None
        reasons = {os.path.basename(photo.path): photo.error for photo in store.failures()}
        assert reasons["empty.jpg"] == "the file is empty"
        for photo in store.rows():
            data = Path(photo.path).read_bytes()
            assert (photo.size, photo.sha256) == (len(data), hashlib.sha256(data).hexdigest())
            assert photo.mtime_ns == os.stat(photo.path).st_mtime_ns
        (run,) = store.runs
        assert (run.edgefeat, run.engine_version) == (edgefeat.__version__, extractor.engine_version)
        assert run.ended is not None
    assert [path.name for path in tmp_path.glob("f.db*")] == ["f.db"]


def test_again_only_what_is_new_or_changed_is_computed(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    first = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json"))
    assert (first["computed"], first["failed"], first["unchanged"]) == (11, 3, 0)
    before = rows(tmp_path / "f.db")
    done = edgefeat_command("extract", one_tap, "in", "in/0.png", "--into", "f.db", "--json")
    assert done.returncode == 0
    again = end(done)
    assert (again["computed"], again["failed"], again["unchanged"], again["failed_before"]) == (0, 0, 11, 3)
    assert rows(tmp_path / "f.db") == before

    os.utime(folder / "0.png", ns=(1, 1))  # touched
    (folder / "2.png").rename(folder / "moved.png")  # moved: its old row stays
    shutil.copy2(folder / "4.png", folder / "copy.png")
    shutil.copy(folder / "6.png", folder / "8.png")  # changed
    Image.new("RGB", (50, 40)).save(folder / "new.png")
    (folder / "10.png").write_bytes(b"no picture any more")
    done = edgefeat_command("extract", one_tap, folder, "--into", "f.db", "--json")
    last = end(done)
    assert (last["computed"], last["moved"], last["failed"]) == (1, 4, 1)
    after = rows(tmp_path / "f.db")
    assert after.keys() == before.keys() | {str(folder / name) for name in ("moved.png", "copy.png", "new.png")}
    features = {os.path.basename(path): row[-1] for path, row in after.items()}
    old = {os.path.basename(path): row[-1] for path, row in before.items()}
    assert features["0.png"] == old["0.png"]
    assert features["moved.png"] == features["2.png"] == old["2.png"]
    assert features["copy.png"] == old["4.png"]
    assert features["8.png"] == features["6.png"] == old["6.png"] != old["8.png"]
    assert after[str(folder / "10.png")][3] == "failed"
    assert after[str(folder / "0.png")][1] == 1


def test_what_failed_is_tried_again_when_it_changes_or_when_told_to(
    edgefeat_command: Run, one_tap: Path, folder: Path
) -> None:
    assert end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json"))["failed"] == 3
    Image.new("RGB", (50, 40)).save(folder / "empty.jpg")
    last = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json"))
    assert (last["computed"], last["failed"], last["failed_before"]) == (1, 0, 2)
    last = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json", "--retry-failed"))
    assert (last["computed"], last["failed"], last["unchanged"], last["failed_before"]) == (0, 2, 12, 0)


def test_a_photo_that_is_gone_keeps_its_row(edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path) -> None:
    edgefeat_command("extract", one_tap, "in", "--into", "f.db")
    before = rows(tmp_path / "f.db")
    gone = folder / "0.png"
    gone.unlink()
    done = edgefeat_command("extract", one_tap, "in", gone, "in/never.png", "--into", "f.db")
    assert done.returncode == 1
    assert done.stderr == f"{folder / 'never.png'}: no such file\n"
    after = rows(tmp_path / "f.db")
    assert {path: row for path, row in after.items() if path in before} == before


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.0), ("float16", 1e-3), ("int8", 1.0)])
def test_features_are_stored_as_exactly_as_asked(
    edgefeat_command: Run, two_taps: Path, folder: Path, tmp_path: Path, precision: str, tolerance: float
) -> None:
    edgefeat_command("extract", two_taps, "in", "--into", "f.db", "--precision", precision)
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        assert store.identity.precision == precision
        extractor = edgefeat.load(two_taps, variant=store.identity.variant, engine=store.identity.engine, threads=1)
        with pytest.raises(edgefeat.ArgumentError, match=r"several taps \(allowed: stem, inner.point\)"):
            list(store.chunks())
        for tap in ("stem", "inner.point"):
            ((paths, features),) = store.chunks(tap)
            for path, feature in zip(paths, features, strict=True):
                expected = extractor.extract(path)
                assert isinstance(expected, dict)
                exact = expected[tap]
                if precision == "int8":  # half a step of the row's own scale
                    tolerance = float(np.abs(exact).max()) / 127 / 2 * 1.001
                np.testing.assert_allclose(feature, exact, rtol=0, atol=tolerance)


def test_features_of_another_kind_are_refused_with_what_goes_on(
    edgefeat_command: Run, one_tap: Path, two_taps: Path, folder: Path, tmp_path: Path
) -> None:
    assert edgefeat_command("extract", one_tap, "in", "--into", "f.db").returncode == 1
    before = (tmp_path / "f.db").read_bytes()
    done = edgefeat_command("extract", two_taps, "in", "--into", "f.db")
    assert done.returncode == 2
    assert "f.db holds features of bundle tiny_last_32 (" in done.stderr
    assert done.stderr.endswith(f"go on with that bundle: edgefeat extract {one_tap} in --into f.db\n")
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        other = "int8" if store.identity.variant.endswith("float32") else "float32"
        variant = f"{store.identity.variant.partition('-')[0]}-{other}"
    for options, said in (
        (("--variant", variant), f"asked for is {variant}: leave --variant out"),
        (("--precision", "int8"), "holds features of precision float32, asked for is int8"),
        (("--exact",), "holds features of decoding fast, asked for is exact: leave --exact out"),
        (("--engine", "openvino"), "asked for is openvino: leave --engine out"),
    ):
        done = edgefeat_command("extract", one_tap, "in", "--into", "f.db", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    assert (tmp_path / "f.db").read_bytes() == before


def test_a_file_that_is_no_feature_database_is_never_touched(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    import sqlite3

    (tmp_path / "text.db").write_text("precious words " * 100)
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE photos (path)")
    foreign.commit()
    foreign.close()
    for name in ("text.db", "foreign.db"):
        before = (tmp_path / name).read_bytes()
        done = edgefeat_command("extract", one_tap, "in", "--into", name)
        assert done.returncode == 1
        assert f"{name} is not a feature database" in done.stderr
        assert (tmp_path / name).read_bytes() == before
        with pytest.raises(edgefeat.StoreError, match="is not a feature database"):
            edgefeat.FeatureStore.open(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--into", "nowhere/f.db"), "its folder is missing"),
        (("--into", "in"), "is one itself"),
        (("--into", "f.db", "-o", "f.npz"), "-o and --into cannot go together"),
        (("--retry-failed",), "--retry-failed goes with --into alone"),
        (("--workers", "2"), "--workers goes with --into alone"),
        (("--into", "f.db", "--variant", "tflite-int4"), "variant 'tflite-int4' is not in bundle"),
        (("--into", "f.db", "--engine", "tpu"), "engine 'tpu' is unknown"),
        (("--into", "f.db", "--workers", "0"), "--workers"),
    ],
)
def test_wrong_use_leaves_nothing_behind(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = edgefeat_command("extract", one_tap, "in", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_empty_folder_makes_no_database(edgefeat_command: Run, one_tap: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    done = edgefeat_command("extract", one_tap, "bare", "--into", "f.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "edgefeat: no picture in bare\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bare"]


@posix_only
def test_odd_files_and_names_cost_a_row_each(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    odd = os.fsdecode(b"caf\xe9\n,.png")
    shutil.copy(folder / "0.png", folder / odd)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "folder.jpg").mkdir()
    done = edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json")
    last = end(done)
    assert (last["computed"] + last["moved"], last["failed"]) == (12, 5)
    found = rows(tmp_path / "f.db")
    assert found[str(folder / odd)][-1] == found[str(folder / "0.png")][-1]
    assert found[str(folder / "pipe.jpg")][4] == "is a pipe or device, not a file"
    assert {event["path"] for event in events(done) if event["event"] == "failed"} == {
        path for path, row in found.items() if row[3] == "failed"
    }
    again = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json"))
    assert (again["failed"], again["failed_before"]) == (0, 5)  # a pipe too is tried again only when told to


@posix_only
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
    with pytest.raises(edgefeat.StoreError, match=r"030.png is damaged.* --check.* mends it"):
        rows(database)
    last = edgefeat_command("extract", one_tap, many, "--into", "f.db", "--check", "--json")
    assert "f.db was damaged: 59 rows are whole and were kept" in events(last)[0]["text"]
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
        assert "the same `edgefeat extract ... --into` goes on" in done.stderr
        assert "Traceback" not in done.stderr
    edgefeat_command("extract", one_tap, many, "--into", "f.db")
    assert rows(tmp_path / "f.db") == rows(whole)


def test_a_database_that_is_being_written_is_left_to_its_writer(
    edgefeat_command: Run, one_tap: Path, many: Path, folder: Path, tmp_path: Path
) -> None:
    from edgefeat._store._writer import StoreWriter

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
def test_a_worker_killed_before_it_has_loaded_is_replaced(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), "in", "--into", "f.db", "--workers", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (workers := _workers(process.pid)):
        time.sleep(0.005)
    os.kill(workers[0], signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(rows(tmp_path / "f.db")) == 14


@linux_only
def test_a_photo_that_hangs_or_kills_its_worker_twice_is_a_failed_row(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    done = edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--photo-seconds", "0.001", "--json")
    assert done.returncode == 1
    found = rows(tmp_path / "f.db")
    assert len(found) == 14
    hung = [row for row in found.values() if row[4] and "took longer than" in row[4]]
    for row in hung:
        assert row[4].endswith("twice")
    last = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json", "--retry-failed"))
    assert (last["unchanged"] + last["computed"] + last["moved"], last["failed"]) == (11, 3)


@linux_only
def test_a_photo_that_needs_more_memory_than_a_worker_may_take_fails_alone(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (9000, 7000)).save(folder / "vast.png")  # 252 MB when it is decoded
    last = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json", "--worker-memory", "200"))
    assert (last["computed"], last["failed"]) == (11, 4)
    found = rows(tmp_path / "f.db")
    assert found[str(folder / "vast.png")][4] == "needs more memory than a worker may take (200 MB, --worker-memory)"
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
    assert first == "edgefeat: interrupted before a photo was done. Go on with:"
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
    assert "edgefeat: standard output was closed, and so the run has ended" in said
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
            assert event["text"].startswith(("paused: it slows itself down (throttled 0xe0008)", "goes on"))
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
    assert "this device tells no temperature" in done.stderr
    assert not (tmp_path / "f.db").exists()
