"""Camera frames as they are: features of every format and engine, padded rows, and one line for what cannot work."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import edgefeat
from edgefeat import ArgumentError, BundleError, Manifest
from edgefeat._engines.engine import Engine
from edgefeat._images.frames.buffer import frame_array
from edgefeat._images.frames.form import COLORS, FORMATS, ROTATIONS, FrameForm, parse_frame
from edgefeat._images.frames.pixels import frame_of, rgb_of

BUNDLE = Path(__file__).parents[2] / "data" / "frames.edgefeat"
NAMES = ("nv21-64x48-90", "i420-64x48", "bgr-64x48", "rgba-48x64-180")
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Frame = NDArray[np.uint8]

forms = st.builds(
    lambda pixels, rotation, color, width, height: parse_frame(f"{pixels}-{2 * width}x{2 * height}-{rotation}-{color}"),
    st.sampled_from(FORMATS),
    st.sampled_from(ROTATIONS),
    st.sampled_from(COLORS),
    st.integers(1, 20),
    st.integers(1, 20),
)


def smooth(width: int, height: int, seed: int = 3) -> Frame:
    coarse = np.random.default_rng(seed).integers(30, 226, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def cosine(one: Any, other: Any) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_has_the_feature_of_its_upright_rgb_picture(engine: Engine, name: str) -> None:
    frames = edgefeat.load(BUNDLE, frame=name, engine=engine.name)
    form = frames.frame
    assert form is not None
    assert (form.name, frames.variant.partition("@")[2]) == (name, name)
    frame = frame_of(smooth(*form.upright), form)
    plain = edgefeat.load(BUNDLE, engine=engine.name).extract(rgb_of(frame, form))
    feature = frames.extract_frame(frame)
    assert isinstance(feature, np.ndarray)
    assert feature.shape == (16,)
    assert cosine(feature, plain) >= 0.9995
    for same in (frame.tobytes(), bytearray(frame.tobytes()), memoryview(frame.tobytes()), frame.reshape(-1)):
        np.testing.assert_array_equal(frames.extract_frame(same), feature)


@given(forms, st.integers(0, 9), st.booleans())
@settings(deadline=None, max_examples=60)
def test_padded_rows_are_the_same_frame(form: FrameForm, half: int, cut: bool) -> None:
    frame = frame_of(smooth(*form.upright), form)
    row = form.size // form.shape[0]
    stride = row + 2 * half
    if form.format == "i420":
        chroma = frame[form.height :].reshape(-1, form.width // 2)
        parts = [np.pad(frame[: form.height], ((0, 0), (0, 2 * half))), np.pad(chroma, ((0, 0), (0, half)))]
        padded = np.concatenate([part.reshape(-1) for part in parts])
        ending = half
    else:
        padded = np.pad(frame.reshape(form.shape[0], row), ((0, 0), (0, 2 * half)), constant_values=7).reshape(-1)
        ending = 2 * half
    if cut:  # cameras may leave out the padding of the last row
        padded = padded[: len(padded) - ending]
    np.testing.assert_array_equal(frame_array(padded.tobytes(), form, stride)[0], frame)


@given(forms)
@settings(deadline=None, max_examples=60)
def test_views_of_any_memory_are_the_same_frame(form: FrameForm) -> None:
    frame = frame_of(smooth(*form.upright), form)
    turned = np.asfortranarray(frame)
    np.testing.assert_array_equal(frame_array(turned, form)[0], frame)
    wide = np.concatenate([frame, frame], axis=1)[:, : frame.shape[1]]
    np.testing.assert_array_equal(frame_array(wide, form)[0], frame)


def test_memory_without_padding_is_not_copied() -> None:
    form = parse_frame("nv12-64x48")
    memory = bytearray(form.size)
    frame = frame_array(memory, form)
    memory[5] = 77
    assert frame.reshape(-1)[5] == 77


@given(forms)
@settings(deadline=None, max_examples=80)
def test_a_name_is_read_back_as_the_frame(form: FrameForm) -> None:
    assert parse_frame(form.name) == form


@given(forms)
@settings(deadline=None, max_examples=60)
def test_a_gray_picture_survives_every_format(form: FrameForm) -> None:
    gray = np.repeat(smooth(*form.upright)[:, :, :1], 3, axis=2)
    back = rgb_of(frame_of(gray, form), form)
    assert back.shape == gray.shape
    assert np.abs(back.astype(int) - gray).max() <= 2


@pytest.mark.parametrize("name", ["nv12-64x48", "nv21-64x48", "i420-64x48", "yuyv-64x48"])
def test_colours_are_those_of_opencv_within_a_level(name: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="no OpenCV: pip install opencv-python-headless", exc_type=ImportError)
    form = parse_frame(name)
    code = getattr(cv2, f"COLOR_YUV2RGB_{form.format.upper()}")
    noise = np.random.default_rng(1).integers(0, 256, form.shape, np.uint8)
    assert np.abs(cv2.cvtColor(noise, code).astype(int) - rgb_of(noise, form)).max() <= 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nv21-641x480", "even width and height"),
        ("i420-640x481", "even width and height"),
        ("yuyv-641x480", "even width"),
        ("640", "WIDTHxHEIGHT"),
        ("p010-640x480", "frame format 'p010' (allowed: rgb, bgr, rgba, bgra, gray, nv12, nv21, i420, yuyv)"),
        ("rgb-640x480-45", "frame rotation 45 (allowed: 0, 90, 180, 270)"),
        ("nv12-640x480-bt2020", "colours 'bt2020' (allowed: bt601, bt601-full, bt709, bt709-full)"),
        ("rgb-0x480", "allowed: 1 to 8192"),
    ],
)
def test_an_impossible_frame_is_one_line(text: str, words: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        parse_frame(text)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_wrong_memory_is_one_line_with_sizes(installed: list[Engine]) -> None:
    extractor = edgefeat.load(BUNDLE, frame="i420-64x48")
    wrong: list[tuple[Any, int | None, str]] = [
        (bytes(100), None, "100 bytes (required for i420-64x48: 4608)"),
        (bytes(64 * 48 * 3), None, "9216 bytes"),
        (bytes(4608), 32, "rows of 32 bytes (required for i420-64x48: 64 or more)"),
        (np.zeros((72, 80), np.uint8), None, "give stride="),
        (np.zeros((48, 64, 3), np.uint8), None, "required for i420-64x48: (72, 64), or 4608 bytes"),
        (np.zeros((72, 64), np.float32), None, "float32 (allowed: uint8"),
        ("photo.jpg", None, "type str"),
    ]
    for buffer, stride, words in wrong:
        with pytest.raises(ArgumentError) as raised:
            extractor.extract_frame(buffer, stride=stride)
        assert words in str(raised.value)
        assert "\n" not in str(raised.value)
    padded = np.zeros((72, 80), np.uint8)
    padded[:, :64] = 90
    assert np.asarray(extractor.extract_frame(padded, stride=80)).shape == (16,)


def test_photos_and_frames_are_not_mixed_up(installed: list[Engine], photos: list[str]) -> None:
    plain, frames = edgefeat.load(BUNDLE), edgefeat.load(BUNDLE, frame="bgr-64x48")
    assert plain.frame is None
    with pytest.raises(ArgumentError, match="takes prepared images, not camera frames"):
        plain.extract_frame(bytes(64 * 48 * 3))
    for attempt in (
        lambda: frames.extract(photos[0]),
        lambda: list(frames.stream(photos)),
        lambda: frames.prepare(photos[0]),
    ):
        with pytest.raises(ArgumentError, match="takes camera frames, not photos"):
            attempt()
    with pytest.raises(ArgumentError, match="it has: nv21-64x48-90, i420-64x48, bgr-64x48, rgba-48x64-180"):
        edgefeat.load(BUNDLE, frame="rgb-64x48")
    with pytest.raises(ArgumentError, match=r"; frame 'nv21_640x480' \(allowed: .* nv21-640x480-90\)$"):
        edgefeat.load(BUNDLE, frame="nv21_640x480")
    with pytest.raises(ArgumentError, match="uint8 \\(N, 48, 64, 3\\)"):
        frames.run(np.zeros((1, 32, 32, 3), np.uint8))
    assert frames.run(np.zeros((2, 48, 64, 3), np.uint8))[0].shape == (2, 16)


def test_the_command_line_measures_frames_and_refuses_photos(
    installed: list[Engine], edgefeat_command: Run, photos: list[str]
) -> None:
    done = edgefeat_command("bench", BUNDLE, "--frame", "nv21-64x48-90", "--seconds", "0", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["frame"] == {"format": "nv21", "width": 64, "height": 48, "rotation": 90, "color": "bt601"}
    assert run["feature"]["p50"] > 0
    done = edgefeat_command("bench", BUNDLE, *photos, "--frame", "bgr-64x48", "--seconds", "0")
    assert "frame to feature" in done.stdout
    for arguments in (["extract", BUNDLE, *photos], ["extract", BUNDLE, *photos, "--into", "features.db"]):
        done = edgefeat_command(*arguments, "--variant", "tflite-float32@bgr-64x48")
        assert done.returncode == 2
        assert "takes camera frames, not photos (use tflite-float32 for photos" in done.stderr
        assert len(done.stderr.splitlines()) == 2  # and the page that helps
    done = edgefeat_command("info", BUNDLE)
    assert "frame nv21-64x48-90: 72 x 64 bytes, rotated by 90 degrees, colours bt601" in done.stdout


def test_verify_gives_frames_to_the_files_that_take_them(engine: Engine) -> None:
    checks = edgefeat.verify(BUNDLE, engine=engine.name)
    assert {check.variant.partition("@")[2] for check in checks} == {"", *NAMES}
    assert {check.status for check in checks} == {"ok"}, checks


def test_a_manifest_without_frames_is_written_as_before_and_a_false_frame_is_refused() -> None:
    data = (BUNDLE / "manifest.json").read_bytes()
    assert Manifest.from_bytes(data).to_bytes() == data
    plain = (BUNDLE.parent / "one_tap.edgefeat" / "manifest.json").read_bytes()
    assert b'"frame"' not in plain
    assert Manifest.from_bytes(plain).to_bytes() == plain
    value = json.loads(data)
    framed = next(one for one in value["variants"] if "frame" in one)
    for field, wrong in (("width", 63), ("format", "p010"), ("rotation", 45), ("height", 0), ("color", "bt709")):
        changed = framed["frame"] | {field: wrong}
        others = [one for one in value["variants"] if one is not framed]
        with pytest.raises(BundleError):
            Manifest.from_bytes(json.dumps(value | {"variants": [*others, framed | {"frame": changed}]}).encode())
