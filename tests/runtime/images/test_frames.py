"""Frames of a camera: arrays in any order of channels, processes forked after loading, and hours without growth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import edgefeat
from edgefeat._engines.engine import Engine

Frame = NDArray[np.uint8]


@pytest.fixture(scope="module")
def extractor(engine: Engine, one_tap: Path) -> edgefeat.Extractor:
    return edgefeat.load(one_tap, engine=engine.name)


@pytest.fixture(scope="module")
def frame() -> Frame:
    """480 x 640, smooth, its channels unlike each other."""
    coarse = np.random.default_rng(8).integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((640, 480)))


def feature(extractor: edgefeat.Extractor, picture: Any, **options: Any) -> NDArray[np.float32]:
    return np.asarray(extractor.extract(picture, **options))


def test_bgr_frames_are_those_of_opencv(extractor: edgefeat.Extractor, frame: Frame) -> None:
    rgb = feature(extractor, frame)
    for bgr in (frame[:, :, ::-1], np.ascontiguousarray(frame[:, :, ::-1])):
        np.testing.assert_array_equal(feature(extractor, bgr, channels="bgr"), rgb)
        assert np.abs(feature(extractor, bgr) - rgb).max() > 1e-3  # taken for RGB it is another picture
    np.testing.assert_array_equal(feature(extractor, Image.fromarray(frame)), rgb)


def test_alpha_stays_last_and_gray_has_no_order(extractor: edgefeat.Extractor, frame: Frame) -> None:
    alpha = np.linspace(0, 255, 640).astype(np.uint8) * np.ones((480, 1), np.uint8)
    rgba = np.dstack([frame, alpha])
    expected = feature(extractor, rgba)
    assert np.abs(expected - feature(extractor, frame)).max() > 1e-3  # over white
    np.testing.assert_array_equal(feature(extractor, rgba[:, :, [2, 1, 0, 3]], channels="bgr"), expected)
    np.testing.assert_array_equal(feature(extractor, Image.fromarray(rgba)), expected)
    opaque = np.dstack([frame, np.full((480, 640), 255, np.uint8)])
    np.testing.assert_array_equal(feature(extractor, opaque), feature(extractor, frame))

    gray = frame[:, :, 1]
    expected = feature(extractor, np.dstack([gray] * 3))
    for one in (gray, gray[:, :, np.newaxis]):
        for channels in ("rgb", "bgr"):
            np.testing.assert_array_equal(feature(extractor, one, channels=channels), expected)


def test_a_file_and_an_image_know_their_own_order(
    extractor: edgefeat.Extractor, frame: Frame, photos: list[str]
) -> None:
    for picture in (photos[0], Path(photos[1]).read_bytes(), Image.fromarray(frame)):
        np.testing.assert_array_equal(feature(extractor, picture, channels="bgr"), feature(extractor, picture))


def test_an_unknown_order_is_wrong_use(extractor: edgefeat.Extractor, frame: Frame) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=r"'grb' is unknown \(allowed: 'rgb', 'bgr'\)"):
        extractor.extract(frame, channels="grb")  # type: ignore[arg-type]


def test_a_frame_of_the_models_size_is_not_copied(extractor: edgefeat.Extractor, frame: Frame) -> None:
    fits = np.ascontiguousarray(frame[:32, :32])
    assert np.shares_memory(extractor.prepare(fits), fits)
    part = frame[:32, :32]  # with gaps between its rows, as a part of a camera's buffer has
    prepared = extractor.prepare(part)
    assert prepared.flags.c_contiguous
    np.testing.assert_array_equal(prepared, part)
    np.testing.assert_array_equal(extractor.prepare(fits[:, :, ::-1], channels="bgr"), fits)
    fits.flags.writeable = False
    np.testing.assert_array_equal(feature(extractor, fits), feature(extractor, part))


def test_frames_are_left_as_they_are_and_features_stay_when_the_buffer_is_filled_again(
    extractor: edgefeat.Extractor, frame: Frame
) -> None:
    for shape in ((480, 640), (32, 32)):
        buffer = frame[: shape[0], : shape[1]].copy()
        before = buffer.copy()
        found = feature(extractor, buffer)
        np.testing.assert_array_equal(buffer, before)
        kept = found.copy()
        buffer[:] = 255 - buffer
        other = feature(extractor, buffer)
        np.testing.assert_array_equal(found, kept)
        assert np.abs(other - found).max() > 1e-3


def test_a_stream_takes_frames_from_a_generator(extractor: edgefeat.Extractor, frame: Frame) -> None:
    def camera() -> Iterator[Frame]:
        for shift in range(0, 300, 20):
            yield np.roll(frame, shift, axis=1)[:, :, ::-1]

    found = [np.asarray(one.feature) for one in extractor.stream(camera(), channels="bgr")]
    expected = feature(extractor, [one[:, :, ::-1] for one in camera()])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def told(program: str, *arguments: str | Path) -> dict[str, Any]:
    """The JSON that the program prints, run in a process of its own."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# Whether the child uses the extractor, and whether it ends at once or takes everything down as a script does.
FORKS = """
import json, os, signal, sys, time
import numpy as np
import edgefeat

extractor = edgefeat.load(sys.argv[1], engine=sys.argv[2], threads=2)
frames = np.random.default_rng(3).integers(0, 256, (20, 32, 32, 3), np.uint8)
expected = extractor.extract(frames)
ends = {}
for turn in range(20):
    if turn == 14:  # the last find no bundle any more
        os.rename(sys.argv[1], sys.argv[1] + ".gone")
    child = os.fork()
    if child == 0:
        status = 0
        try:
            if turn % 7:
                found = extractor.extract(frames[turn])
                status = 0 if np.allclose(found, expected[turn], atol=1e-5) else 3
        except edgefeat.EdgefeatError:
            status = 4
        if turn % 3:
            sys.exit(status)
        os._exit(status)  # as multiprocessing does
    begun = time.monotonic()
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() - begun < 30:
        time.sleep(0.005)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        end = "hung"
    else:
        end = {0: "right", 3: "wrong", 4: "error"}.get(os.waitstatus_to_exitcode(ended[1]), str(ended[1]))
    ends[end] = ends.get(end, 0) + 1
assert np.allclose(extractor.extract(frames), expected, atol=1e-5)  # the parent goes on
print(json.dumps(ends))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX has fork")
def test_a_process_forked_after_loading_gives_the_right_feature_or_a_clean_error(
    engine: Engine, one_tap: Path, altered: Any
) -> None:
    copy = altered(one_tap, lambda manifest, folder: None)
    assert told(FORKS, copy, engine.name) == {"right": 15, "error": 5}


SOAK = """
import gc, io, json, os, sys
import numpy as np
from PIL import Image
import edgefeat

def resident():
    gc.collect()
    with open("/proc/self/statm") as figures:
        return int(figures.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def pictures(count, seed):
    random = np.random.default_rng(seed)
    for turn in range(count):
        coarse = random.integers(0, 256, (random.integers(2, 9), random.integers(2, 9), 3), np.uint8)
        image = Image.fromarray(coarse).resize((200 + turn % 50, 160 + turn % 40))
        if turn % 3 == 0:
            yield np.asarray(image)
        else:
            stream = io.BytesIO()
            image.save(stream, "JPEG" if turn % 3 == 1 else "PNG")
            yield stream.getvalue() if turn % 10 else stream.getvalue()[:-200]

def run(count, seed):
    found = {bytes(np.asarray(one.feature)) for one in extractor.stream(pictures(count, seed)) if one.error is None}
    return len(found)

extractor = edgefeat.load(sys.argv[1], engine=sys.argv[2], threads=2)
run(100, 1)
before = resident()
different = run(500, 2)
print(json.dumps({"different": different, "growth": resident() - before}))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_five_hundred_different_pictures_leave_no_growth(engine: Engine, one_tap: Path) -> None:
    found = told(SOAK, one_tap, engine.name)
    assert 450 <= found["different"] < 500  # a few are cut short and refused
    assert found["growth"] < 16_000_000
