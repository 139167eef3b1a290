"""Resizing by several threads, against Pillow by itself."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import edgefeat
from edgefeat._images.form import Decoding, PictureForm
from edgefeat._images.picture import Channels, read_picture
from edgefeat._images.resize import resized

Fit = Literal["stretch", "crop", "pad"]
NOISE = Image.fromarray(np.random.default_rng(5).integers(0, 256, (900, 1200, 3), np.uint8))


@settings(max_examples=150, deadline=None)
@given(
    edges=st.tuples(st.integers(0, 1000), st.integers(0, 700), st.integers(1001, 1200), st.integers(701, 900)),
    # Pillow's order of passes depends on how tall a picture is and becomes.
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    turned=st.booleans(),
    threads=st.integers(1, 6),
    mode=st.sampled_from(["RGB", "L"]),
)
def test_every_band_is_as_pillow_has_it(
    edges: tuple[int, int, int, int], size: tuple[int, int], turned: bool, threads: int, mode: str
) -> None:
    image = NOISE.convert(mode)
    if turned:
        image, edges = image.transpose(Image.Transpose.TRANSPOSE), (edges[1], edges[0], edges[3], edges[2])
    mine = resized(image, size, box=edges, threads=threads)
    assert mine.mode == mode
    np.testing.assert_array_equal(
        np.asarray(mine), np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=edges))
    )


@pytest.mark.parametrize("shape", [(400, 550), (300, 590), (224, 600), (640, 500), (900, 400)])
def test_bands_of_a_picture_that_is_enlarged_are_as_pillow_has_them(shape: tuple[int, int]) -> None:
    image = Image.fromarray(np.asarray(NOISE)[: shape[1], : shape[0]])
    for threads in (2, 4):
        mine = resized(image, (600, 600), threads=threads)
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(image.resize((600, 600), Image.Resampling.BILINEAR)))


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 900), st.integers(1, 1200)),
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    threads=st.integers(1, 4),
    bgr=st.booleans(),
    turned=st.booleans(),
    fit=st.sampled_from(["stretch", "crop", "pad"]),
)
def test_an_array_is_as_its_image_in_either_order_of_its_channels(
    shape: tuple[int, int], size: tuple[int, int], threads: int, bgr: bool, turned: bool, fit: Fit
) -> None:
    array = np.asarray(NOISE)[-shape[0] :, : shape[1]]
    if turned:
        array = array.transpose(1, 0, 2)
    channels: Channels = "bgr" if bgr else "rgb"
    form = PictureForm(size[1], size[0], fit=fit)
    np.testing.assert_array_equal(
        read_picture(array[:, :, ::-1] if bgr else array, form, channels=channels, threads=threads),
        read_picture(Image.fromarray(np.ascontiguousarray(array)), form),
    )


@pytest.mark.parametrize(
    "form", [PictureForm(224, 160, fit=fit) for fit in ("stretch", "crop", "pad")], ids=lambda form: form.fit
)
@pytest.mark.parametrize("turn", [1, 6])
def test_threads_change_no_bit_of_a_picture(tmp_path: Path, form: PictureForm, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    NOISE.save(tmp_path / "p.jpg", exif=exif)
    decodings: tuple[Decoding, ...] = ("fast", "exact")
    for decoding in decodings:
        alone, together = (read_picture(tmp_path / "p.jpg", form, decoding, threads=count) for count in (1, 4))
        np.testing.assert_array_equal(alone, together)


def test_many_threads_share_an_extractor_that_has_threads_of_its_own(one_tap: Path) -> None:
    array = np.asarray(NOISE)
    expected = edgefeat.load(one_tap, threads=1).prepare(array)
    extractor = edgefeat.load(one_tap, threads=4)
    found: list[bool] = []

    def prepare() -> None:
        found.extend(np.array_equal(extractor.prepare(array), expected) for _ in range(20))

    users = [threading.Thread(target=prepare) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert found == [True] * 80


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640)])
def test_more_threads_than_one_do_work_on_it(width: int, height: int) -> None:
    array, form = np.asarray(NOISE.resize((width, height))), PictureForm(224, 224)
    seen: set[int] = set()
    threading.setprofile(lambda *_: seen.add(threading.get_ident()))  # of threads that begin from now on
    try:
        read_picture(array, form, threads=1)
        assert not seen
        read_picture(array, form, threads=2)
        assert len(seen) == 1
    finally:
        threading.setprofile(None)


def test_one_thread_resizes_where_the_engines_own_keep_their_cores_busy(one_tap: Path) -> None:
    extractor = edgefeat.load(one_tap, threads=2)
    assert extractor.resize_threads == (2 if extractor.engine in ("litert", "tflite-runtime") else 1)
    assert edgefeat.load(one_tap, threads=1).resize_threads == 1
