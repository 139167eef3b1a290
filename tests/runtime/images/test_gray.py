"""Pictures for a network of one channel: the gray of Pillow's `convert("L")`, resized, in all three channels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture

FORM = PictureForm(40, 56, color="gray")


def colours(seed: int, height: int = 90, width: int = 120) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def gray(image: Image.Image) -> NDArray[np.uint8]:
    """As `keras.utils.load_img(color_mode="grayscale", interpolation="bilinear")` does it."""
    return np.asarray(image.convert("L").resize((FORM.width, FORM.height), Image.Resampling.BILINEAR))


def assert_is(picture: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    assert picture.shape == (FORM.height, FORM.width, 3)
    for channel in range(3):
        np.testing.assert_array_equal(picture[..., channel], expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 200))
def test_an_array_an_image_and_a_file_give_the_gray_of_pillow(seed: int, height: int, width: int) -> None:
    image = colours(seed, height, width)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    for given_as in (image, np.asarray(image), stream.getvalue()):
        assert_is(read_picture(given_as, FORM, "exact"), gray(image))


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_files_of_other_colours_give_the_gray_of_pillow(mode: str) -> None:
    stream = io.BytesIO()
    colours(7).convert(mode).save(stream, "JPEG" if mode == "CMYK" else "PNG")
    data = stream.getvalue()
    with Image.open(io.BytesIO(data)) as opened:
        assert_is(read_picture(data, FORM, "exact"), gray(opened.convert("RGB")))


def test_what_is_transparent_is_laid_over_the_ground_first() -> None:
    clear = Image.new("RGBA", (30, 30), (0, 0, 0, 0))
    assert read_picture(clear, FORM, "exact").min() == 255


def test_a_frame_of_opencv_gives_the_gray_of_its_colours() -> None:
    image = colours(3)
    frame = np.ascontiguousarray(np.asarray(image)[..., ::-1])
    assert_is(read_picture(frame, FORM, "exact", channels="bgr"), gray(image))
