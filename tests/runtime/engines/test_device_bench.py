"""`edgefeat bench`: one device, stage by stage, and what the device says of itself."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgefeat
from edgefeat._engines.device.health import health

Run = Callable[..., subprocess.CompletedProcess[str]]

STAGES = ("decode", "resize", "inference", "total")
posix = pytest.mark.skipif(os.name != "posix", reason="makes a shell script")


def vcgencmd(folder: Path, script: str) -> Path:
    """A folder with the command that Raspberry Pi OS has, answering as the script does."""
    folder.mkdir(exist_ok=True)
    (folder / "vcgencmd").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "vcgencmd").chmod(0o755)
    return folder


@pytest.fixture
def measured(edgefeat_command: Run, one_tap: Path, photos: list[str], tmp_path: Path) -> dict[str, Any]:
    done = edgefeat_command("bench", one_tap, *photos, "--seconds", "0.3", "--json", "-o", "run.json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert json.loads((tmp_path / "run.json").read_text()) == found
    return found


def test_the_record_names_the_device_the_bundle_and_the_choice(
    measured: dict[str, Any], one_tap: Path, photos: list[str]
) -> None:
    extractor = edgefeat.load(one_tap)
    facts = {
        "format": 1,
        "edgefeat": edgefeat.__version__,
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "bundle": "tiny_last_32",
        "identity": extractor.bundle.identity,
        "variant": extractor.variant,
        "engine": extractor.engine,
        "engine_version": extractor.engine_version,
        "threads": extractor.threads,
        "decoding": "fast",
        "photos": [os.path.basename(photo) for photo in photos],
        "pixels": [(40 + index) * (50 - index) for index in range(4)],
    }
    assert {name: measured[name] for name in facts} == facts
    assert measured["device"]
    assert measured["cores"] >= 1
    for when in ("before", "after"):
        assert set(measured[when]) == {"temperature", "clock", "governor", "throttled"}


def test_percentiles_are_those_of_the_samples_and_stages_sum_to_the_total(measured: dict[str, Any]) -> None:
    counts = {len(measured[stage]["samples"]) for stage in STAGES}
    assert len(counts) == 1
    (count,) = counts
    assert count >= 4
    assert count % 4 == 0  # whole rounds, so that every photo counts alike
    for stage in STAGES:
        samples = measured[stage]["samples"]
        assert min(samples) > 0
        for percentile in (50, 90, 99):
            assert measured[stage][f"p{percentile}"] == pytest.approx(float(np.percentile(samples, percentile)))
    for decode, resize, inference, total in zip(*(measured[stage]["samples"] for stage in STAGES), strict=True):
        assert total == pytest.approx(decode + resize + inference)
    assert sum(measured["total"]["samples"]) < 60_000
    assert measured["load"] > 0
    assert measured["first_call"] > 0


def test_what_is_asked_for_is_measured_and_shown(edgefeat_command: Run, one_tap: Path, photos: list[str]) -> None:
    variant = edgefeat.load(one_tap).variant.replace("float32", "int8")
    options = ["--variant", variant, "--threads", "2", "--exact", "--seconds", "0", "--most", "3"]
    done = edgefeat_command("bench", one_tap, Path(photos[0]).parent, *options)
    assert done.returncode == 0, done.stderr
    assert f"tiny_last_32: {variant} on " in done.stdout
    assert ", 2 threads, exact decoding, 3 photos of 0.0 megapixels\n" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["ms", "p50", "p90", "p99"] in rows
    assert [row[0] for row in rows if row and row[0] in STAGES] == list(STAGES)
    assert "peak memory " in done.stdout


def test_an_unreadable_photo_is_named_and_left_out(
    edgefeat_command: Run, one_tap: Path, photos: list[str], tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "cut.png").write_bytes(Path(photos[0]).read_bytes()[:-200])
    unreadable = ("text.jpg", "gone.jpg", "cut.png")
    done = edgefeat_command("bench", one_tap, *unreadable, photos[0], "--seconds", "0", "-o", "run.json")
    assert done.returncode == 0
    assert ", 1 photo of 0.0 megapixels\n" in done.stdout
    assert json.loads((tmp_path / "run.json").read_text())["photos"] == [os.path.basename(photos[0])]
    assert "text.jpg: not an image in a supported format" in done.stderr
    assert "gone.jpg: no such file" in done.stderr
    assert "cut.png: cannot be decoded: the file is truncated" in done.stderr
    assert "to read it, use" not in done.stderr  # its command has no such options


def test_without_a_photo_it_is_wrong_use(edgefeat_command: Run, one_tap: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty").mkdir()
    for photos in ([], ["empty"], ["text.jpg"], ["gone.jpg"]):
        done = edgefeat_command("bench", one_tap, *photos, "-o", "run.json")
        assert (done.returncode, done.stdout) == (2, ""), photos
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize("seconds", ["inf", "nan"])
def test_a_time_that_does_not_end_or_is_no_number_is_refused(
    edgefeat_command: Run, one_tap: Path, photos: list[str], seconds: str
) -> None:
    done = edgefeat_command("bench", one_tap, photos[0], "--seconds", seconds)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--seconds is {seconds} (allowed: a finite number, 0 or more)" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_an_output_that_cannot_be_written_is_told_of_at_once(
    edgefeat_command: Run, one_tap: Path, photos: list[str], tmp_path: Path
) -> None:
    for output in (tmp_path / "missing" / "run.json", tmp_path):
        begun = time.monotonic()
        done = edgefeat_command("bench", one_tap, photos[0], "--seconds", "60", "-o", output)
        assert (done.returncode, done.stdout) == (2, "")
        assert str(output.parent if output != tmp_path else output) in done.stderr
        assert time.monotonic() - begun < 40


def test_the_peak_memory_is_its_own_and_that_of_the_decoding_asked_for(one_tap: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(noise).resize((5000, 4000)).save(tmp_path / "large.jpg", quality=50)
    # Started by a process that holds half a gigabyte, as a benchmark's may.
    parent = "import subprocess, sys; held = b'x' * 500_000_000; subprocess.run(sys.argv[1:], check=True)"
    peaks = {}
    for decoding in ([], ["--exact"]):
        bench = [sys.executable, "-m", "edgefeat", "bench", one_tap, tmp_path / "large.jpg", "--seconds", "0", "--json"]
        command = [sys.executable, "-c", parent, *map(str, bench), *decoding]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        record = json.loads(done.stdout)
        peaks[record["decoding"]] = record["peak_memory_bytes"]
        assert record["pixels"] == [20_000_000]
    assert peaks["fast"] < 400_000_000
    assert peaks["exact"] - peaks["fast"] > 50_000_000  # 20 million pixels of 4 bytes, and a little less elsewhere


def test_photos_in_an_archive_are_measured(edgefeat_command: Run, one_tap: Path, photos: list[str]) -> None:
    archive = Path(photos[0]).parent.parent / "measured.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for photo in photos[:2]:
            file.write(photo, Path(photo).name)
    done = edgefeat_command("bench", one_tap, archive, f"{archive}!/{Path(photos[0]).name}", "--seconds", "0", "--json")
    assert done.returncode == 0, done.stderr
    with Image.open(photos[0]) as first, Image.open(photos[1]) as second:
        sizes = [one.width * one.height for one in (first, second, first)]
    assert json.loads(done.stdout)["pixels"] == sizes


ANSWERS = {
    "echo throttled=0x0": "0x0",
    "echo throttled=0x50005": "0x50005",
    "printf 'throttled=0xE0008\\r\\n'": "0xE0008",
    "echo garbage": None,
    "echo throttled=0xgarbage": None,
    "echo throttled=": None,
    "printf '\\377\\376\\000\\201'": None,
    "head -c 1000000 /dev/zero": None,
    "echo VCHI initialization failed >&2; exit 255": None,
    "echo throttled=0x0; exit 1": None,
}


@posix
@pytest.mark.parametrize("script", ANSWERS)
def test_throttling_flags_are_taken_where_they_are_flags(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = vcgencmd(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
    assert health().throttled == ANSWERS[script]


@posix
def test_a_command_that_hangs_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = vcgencmd(tmp_path / "bin", "exec sleep 60")
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
    begun = time.monotonic()
    assert health().throttled is None
    assert time.monotonic() - begun < 20


def test_without_the_command_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert health().throttled is None


@posix
def test_a_slowed_device_is_said_to_be_one(
    edgefeat_command: Run, one_tap: Path, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    for flags, slowed in (("0x50005", True), ("0x0", False), ("0xzz", None)):
        vcgencmd(tmp_path / "bin", f"echo throttled={flags}")
        done = edgefeat_command("bench", one_tap, photos[0], "--seconds", "0")
        assert done.returncode == 0, done.stderr
        assert (f"throttled {flags}" in done.stdout) is (slowed is not None)
        assert ("figures are of a slowed device" in done.stdout) is bool(slowed)
