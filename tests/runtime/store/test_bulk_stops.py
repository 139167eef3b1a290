"""`edgefeat extract --into` stopped by a signal, a closed pipe or the heat: it says how to resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runtime.store.databases import rows

import edgefeat

Run = Callable[..., subprocess.CompletedProcess[str]]

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and files")


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
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    # It did not go on to the end. Before the first photo was done there is no database.
    assert not (tmp_path / "f.db").exists() or len(rows(tmp_path / "f.db")) < len(rows(whole))
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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pipe does not say whether it has been read")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_stops_it_while_it_waits_for_more_of_a_list(
    one_tap: Path, many: Path, tmp_path: Path, number: int, status: int
) -> None:
    import fcntl
    import termios

    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), "-", "--into", "f.db", "--workers", "1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(f"{next(many.iterdir())}\n".encode())
            process.stdin.flush()
            until, unread = time.monotonic() + 60, 1
            while unread:
                assert time.monotonic() < until, "the list is not read"
                time.sleep(0.01)
                (unread,) = struct.unpack("i", fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)))
            process.send_signal(number)  # and the list goes on
            assert process.wait(timeout=60) == status
            assert b"interrupted before any photo was done" in process.stderr.read()
        finally:
            process.kill()
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
