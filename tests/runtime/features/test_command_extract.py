"""`edgefeat extract`: which pictures it takes, what it says of those it cannot read, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgefeat
from edgefeat._engines.engine import Engine

Run = Callable[..., subprocess.CompletedProcess[str]]


def paths_in(file: Path) -> list[str]:
    with np.load(file) as arrays:
        return list(map(str, arrays["paths"].tolist()))


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines on standard error."""
    return done.stderr.splitlines()


@pytest.fixture
def folder(tmp_path: Path, photos: list[str]) -> Path:
    """A folder with pictures, and other things that are to be left alone."""
    data = Path(photos[0]).read_bytes()
    for name in ("b.PNG", "a/2.png", "a/10.png", "a/c/x.jpeg", "a-b.png", ".hidden.png", ".cache/y.png", "note.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    return tmp_path / "in"


def test_a_folder_is_walked_in_sorted_order_and_a_named_file_is_tried_whatever_its_ending(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, folder: Path
) -> None:
    done = edgefeat_command("extract", one_tap, "in/note.txt", "in", "in/.hidden.png")
    walked = ["in/a/10.png", "in/a/2.png", "in/a/c/x.jpeg", "in/a-b.png", "in/b.PNG"]
    assert done.returncode == 0
    assert paths_in(tmp_path / "features.npz") == ["in/note.txt", *walked, "in/.hidden.png"]
    assert done.stdout.startswith("7 features by ")
    assert done.stdout.endswith(" in features.npz\n")
    assert said(done) == []


def test_what_cannot_be_read_is_listed_with_its_reason_after_the_rest_is_written(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, folder: Path
) -> None:
    (folder / "text.jpg").write_text("these are words")
    (folder / "empty.png").touch()
    whole = (folder / "a/2.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "loop.png").symlink_to("loop.png")
    done = edgefeat_command("extract", one_tap, "in", "gone", os.fsdecode(b"caf\xe9.png"), "in/a")
    assert done.returncode == 1
    lines = said(done)
    failed = ["in/cut.png", "in/empty.png", "in/loop.png", "in/text.jpg", "gone", "caf\\udce9.png"]
    assert [line.partition(": ")[0] for line in lines] == failed
    assert lines[1] == "in/empty.png: the file is empty"
    assert lines[3].startswith("in/text.jpg: not an image in a supported format (JPEG, PNG, WebP, AVIF, HEIC, TIFF, ")
    assert lines[4] == "gone: no such file"
    assert done.stdout.endswith("; 6 images failed\n")
    assert len(paths_in(tmp_path / "features.npz")) == 8


def by_default(bundle: Path, *files: str) -> dict[str, object]:
    extractor = edgefeat.load(bundle)
    return {"files": [*files], "variant": extractor.variant, "engine": extractor.engine}


def test_json_gives_the_count_and_the_failures(
    edgefeat_command: Run, one_tap: Path, photos: list[str], tmp_path: Path
) -> None:
    odd = os.fsdecode(b"caf\xe9.png")
    done = edgefeat_command("extract", one_tap, "--json", photos[0], "gone.png", photos[1], odd)
    assert done.returncode == 1
    reason = "no such file"
    assert json.loads(done.stdout) == {
        "ok": 2,
        "failed": [{"path": "gone.png", "reason": reason}, {"path": odd, "reason": reason}],
        **by_default(one_tap, "features.npz"),
    }
    assert done.stdout.isascii()
    assert paths_in(tmp_path / "features.npz") == photos[:2]
    done = edgefeat_command("extract", one_tap, "--json", photos[0])
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {"ok": 1, "failed": [], **by_default(one_tap, "features.npz")},
    )


def test_where_nothing_can_be_read_nothing_is_written(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "features.npz").write_bytes(b"old")
    (tmp_path / "bare").mkdir()
    done = edgefeat_command("extract", one_tap, "gone.png", "away.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert said(done)[-1] == "edgefeat: no image could be read: nothing was written"
    done = edgefeat_command("extract", one_tap, "bare")
    assert (done.returncode, said(done)) == (1, ["edgefeat: no image in bare: nothing was written"])
    done = edgefeat_command("extract", one_tap, "bare", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (1, {"ok": 0, "failed": [], **by_default(one_tap)})
    assert (tmp_path / "features.npz").read_bytes() == b"old"


@pytest.mark.skipif(os.name != "posix", reason="needs a path longer than the system can open")
def test_a_folder_that_cannot_be_listed_is_a_failure(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, folder: Path
) -> None:
    deep = os.open(folder, os.O_RDONLY)
    for _ in range(20):  # 20 times 250 is more than the 4096 bytes that Linux takes, the 1024 of macOS
        os.mkdir("d" * 250, dir_fd=deep)
        deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    done = edgefeat_command("extract", one_tap, "in")
    assert done.returncode == 1
    (line,) = said(done)
    assert line.endswith("d: the folder cannot be listed: File name too long")
    assert len(paths_in(tmp_path / "features.npz")) == 5


def test_variant_engine_and_threads_override_what_it_would_choose(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str], engine: Engine
) -> None:
    variant = f"{engine.format}-int8"
    options = ("--variant", variant, "--engine", engine.name, "--threads", "1")
    done = edgefeat_command("extract", one_tap, *photos, *options)
    assert done.stdout == f"4 features by {variant} on {engine.name} (as requested) in features.npz\n"
    with np.load(tmp_path / "features.npz") as arrays:
        assert (str(arrays["variant"]), str(arrays["engine"])) == (variant, engine.name)
        expected = edgefeat.load(one_tap, variant=variant, engine=engine.name, threads=1).extract(photos)
        np.testing.assert_allclose(arrays["features"], np.asarray(expected), atol=1e-6)


@pytest.mark.parametrize("output", ["-o", "--into"])
def test_a_number_of_threads_that_would_end_the_process_is_refused(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str], output: str
) -> None:
    done = edgefeat_command("extract", one_tap, *photos, output, "f.npz", "--threads", "50000")
    assert done.returncode == 2
    assert re.search(r"edgefeat: threads is 50000 \(allowed: 1 to \d+\)", done.stderr)
    assert not (tmp_path / "f.npz").exists()


def test_exact_decodes_every_pixel(edgefeat_command: Run, one_tap: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (600, 800, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.jpg")
    features = {}
    for option in ("--exact", "--json"):
        assert edgefeat_command("extract", one_tap, "noise.jpg", option).returncode == 0
        with np.load(tmp_path / "features.npz") as arrays:
            features[option] = arrays["features"]
    exact = np.asarray(edgefeat.load(one_tap, decoding="exact").extract([tmp_path / "noise.jpg"]))
    np.testing.assert_allclose(features["--exact"], exact, atol=1e-6)
    assert not np.allclose(features["--json"], exact, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["--variant", "tflite-int4"], 2, "variant 'tflite-int4' is not in bundle"),
        (["--engine", "tpu"], 2, "engine 'tpu' is unknown (allowed: litert, onnxruntime, openvino, tflite-runtime)"),
        (["--threads", "0"], 2, "--threads"),
        (["--quality", "5"], 2, "No such option"),
    ],
)
def test_wrong_use_is_said_in_a_sentence(
    edgefeat_command: Run, one_tap: Path, photos: list[str], arguments: list[str], status: int, reason: str
) -> None:
    done = edgefeat_command("extract", one_tap, photos[0], *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bundle_that_is_none_fails(edgefeat_command: Run, photos: list[str], tmp_path: Path) -> None:
    for bundle, reason in (("nowhere", "does not exist"), (photos[0], "is a file"), (tmp_path, "manifest.json")):
        done = edgefeat_command("extract", bundle, photos[0])
        assert done.returncode == 1
        assert said(done)[0].startswith(f"edgefeat: bundle '{bundle}' {reason}") or reason in said(done)[0]


def test_a_home_that_cannot_be_written_changes_nothing(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str]
) -> None:
    (tmp_path / "file").touch()
    home = str(tmp_path / "file" / "home")  # not even root can make a folder below a file
    environment = {**os.environ, "HOME": home, "XDG_CACHE_HOME": home, "XDG_CONFIG_HOME": home, "TMPDIR": home}
    done = edgefeat_command("extract", one_tap, *photos, env=environment)
    assert (done.returncode, said(done)) == (0, [])
    with np.load(tmp_path / "features.npz") as arrays:
        expected = np.asarray(edgefeat.load(one_tap).extract(photos))
        np.testing.assert_allclose(arrays["features"], expected, atol=1e-6)


def test_nothing_but_its_own_cache_is_left_in_the_home_folder(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str], engine: Engine
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # Without these, which keep engines from writing identifiers there, as they do unless edgefeat forbids it.
    quiet = ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")
    environment = {name: value for name, value in os.environ.items() if name not in quiet and "XDG" not in name}
    done = edgefeat_command(
        "extract", one_tap, *photos, "--engine", engine.name, env={**environment, "HOME": str(home)}
    )
    assert (done.returncode, said(done)) == (0, [])
    left = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    assert [path for path in left if path.parts[:2] != (".cache", "edgefeat")] == []


def test_a_progress_bar_is_shown_on_a_terminal_only(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str]
) -> None:
    leader, follower = _terminal()
    done = edgefeat_command("extract", one_tap, *photos, stderr=follower)
    os.close(follower)
    shown = _read_all(leader)
    assert done.returncode == 0
    assert "0%" in shown
    assert "4/4" in shown
    assert "\r" not in done.stdout
    done = edgefeat_command("extract", one_tap, *photos)
    assert (said(done), "\r" in done.stderr) == ([], False)


def test_an_interrupt_ends_it_at_once_and_leaves_nothing(one_tap: Path, tmp_path: Path) -> None:
    leader, follower = _terminal()
    noise = np.random.default_rng(2).integers(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "p.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "edgefeat", "extract", str(one_tap), *["p.png"] * 20_000],
        cwd=tmp_path,
        stderr=follower,
        stdout=subprocess.PIPE,
    )
    os.close(follower)
    shown = ""
    while "photo" not in shown:
        shown += os.read(leader, 4096).decode()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - begun < 30  # of the minutes that 20,000 photos take
    assert process.returncode == 130
    assert output == b""
    shown = _read_all(leader)
    assert shown.rstrip().endswith("edgefeat: interrupted")
    assert "Traceback" not in shown
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


def _terminal() -> tuple[int, int]:
    """The two ends of a pseudo-terminal of the usual size."""
    pty = pytest.importorskip("pty", reason="only POSIX has pseudo-terminals")
    termios = pytest.importorskip("termios")
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 80))
    return leader, follower


def _read_all(leader: int) -> str:
    """All that was written to a pseudo-terminal whose other end is closed."""
    parts = []
    try:
        while part := os.read(leader, 4096):
            parts.append(part)
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    return b"".join(parts).decode()
