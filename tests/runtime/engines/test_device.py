"""The device's name and the user's cache, which may be missing, damaged or out of reach and is never an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edgefeat
from edgefeat._engines.device.cache import cache_folder, read_cache, write_cache
from edgefeat._engines.device.processor import processor, processor_key

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "deep" / "cache"
    monkeypatch.setenv("EDGEFEAT_CACHE", str(folder))
    return folder


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the folders of Linux")
def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFEAT_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("EDGEFEAT_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "edgefeat"
    monkeypatch.delenv("EDGEFEAT_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "edgefeat"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == tmp_path / "home" / ".cache" / "edgefeat"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "edgefeat"


def test_what_is_kept_is_found_again_and_replaced_whole(cache: Path) -> None:
    assert read_cache("a.json") is None
    values: list[object] = [{"x": [1, 2.5, None, "ü"]}, [], {"y": 1}]
    for value in values:
        assert write_cache("a.json", value) is True
        assert read_cache("a.json") == value
    assert [path.name for path in cache.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe\x00", b"\0" * 50, b"[" * 100_000, b'{"a": 1} x'], ids=lambda data: repr(data[:5])
)
def test_a_damaged_entry_is_as_good_as_none_and_can_be_replaced(cache: Path, data: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / "a.json").write_bytes(data)
    assert read_cache("a.json") is None
    assert write_cache("a.json", 1)
    assert read_cache("a.json") == 1


def test_what_cannot_be_written_is_said_and_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "a.json").mkdir(parents=True)
    assert write_cache("a.json", {"x": 1}) is False
    assert read_cache("a.json") is None
    assert [path.name for path in cache.iterdir()] == ["a.json"]
    (cache / "file").write_text("no folder")
    monkeypatch.setenv("EDGEFEAT_CACHE", str(cache / "file"))
    assert write_cache("a.json", {"x": 1}) is False
    assert read_cache("a.json") is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the full disk of Linux")
def test_a_full_disk_leaves_nothing_either(cache: Path) -> None:
    program = """
import resource, signal
from edgefeat._engines.device.cache import write_cache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # a file may grow no longer: to the writer, a full disk
print(write_cache("a.json", "x" * 100_000))
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
    assert list(cache.iterdir()) == []


def test_the_key_of_a_processor_is_the_same_in_every_process() -> None:
    program = "from edgefeat._engines.device.processor import processor_key; print(processor_key())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == processor_key()
    assert len(processor_key()) == 16
    assert set(processor_key()) <= set("0123456789abcdef")
    assert processor()


def extracted(run: Run, bundle: Path, photos: list[str], tmp_path: Path) -> np.ndarray:
    done = run("extract", bundle, *photos, "-o", tmp_path / "features.npz")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    with np.load(tmp_path / "features.npz") as arrays:
        features: np.ndarray = arrays["features"]
    return features


def test_extract_works_with_any_cache(
    edgefeat_command: Run, one_tap: Path, photos: list[str], tmp_path: Path, cache: Path
) -> None:
    expected = np.asarray(edgefeat.load(one_tap).extract(photos))
    probes = f"probes-{processor_key()}.json"
    tuned = f"tuned-{edgefeat.Bundle.open(one_tap).identity[:16]}-{processor_key()}.json"
    for text in ("", "[]", "{", '{"litert 2.3.0": 7}', json.dumps({"identity": "x"}), "[" * 50_000):
        cache.mkdir(parents=True, exist_ok=True)
        (cache / probes).write_text(text)
        (cache / tuned).write_text(text)
        np.testing.assert_allclose(extracted(edgefeat_command, one_tap, photos, tmp_path), expected, atol=1e-6)
    for name in (probes, tuned):
        (cache / name).unlink(missing_ok=True)
        (cache / name).mkdir()
    np.testing.assert_allclose(extracted(edgefeat_command, one_tap, photos, tmp_path), expected, atol=1e-6)


def test_extract_works_where_the_cache_cannot_be_made(
    edgefeat_command: Run, one_tap: Path, photos: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    expected = np.asarray(edgefeat.load(one_tap).extract(photos))
    for folder in (tmp_path / "file", tmp_path / "file" / "below", "/proc/edgefeat"):
        monkeypatch.setenv("EDGEFEAT_CACHE", str(folder))
        np.testing.assert_allclose(extracted(edgefeat_command, one_tap, photos, tmp_path), expected, atol=1e-6)
    assert (tmp_path / "file").read_text() == "no folder"
