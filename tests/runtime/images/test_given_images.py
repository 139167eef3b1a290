"""PIL images that a program made or changed, and samples whose range no file gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgefeat._images.form import PictureForm
from edgefeat._images.picture import PictureSource, read_picture

FORM = PictureForm(8, 8)


def read(source: PictureSource) -> NDArray[np.uint8]:
    return read_picture(source, FORM)


def test_a_colour_that_was_transparent_before_convert_stays(tmp_path: Path) -> None:
    logo = Image.new("P", (8, 8), 1)
    logo.putpalette([0, 0, 0, 200, 100, 50])
    ImageDraw.Draw(logo).rectangle((0, 0, 3, 7), fill=0)
    logo.save(tmp_path / "logo.gif", transparency=0)
    with Image.open(tmp_path / "logo.gif") as opened:
        flattened = opened.convert("RGB")
        assert (read(opened)[:, :4] == 255).all()
    assert (read(flattened)[:, :4] == 0).all()
    assert (read(flattened)[:, 4:] == (200, 100, 50)).all()
    # A file says itself that a colour is transparent.
    flattened.save(tmp_path / "logo.png", transparency=(0, 0, 0))
    assert (read(tmp_path / "logo.png")[:, :4] == 255).all()
    with Image.open(tmp_path / "logo.png") as opened:
        assert (read(opened)[:, :4] == 255).all()


def test_a_palette_may_be_transparent_itself() -> None:
    drawn = Image.new("RGBA", (8, 8), (10, 20, 30, 255))
    ImageDraw.Draw(drawn).rectangle((0, 0, 3, 7), fill=(200, 0, 0, 0))
    palette = drawn.quantize()
    assert palette.palette is not None
    assert palette.palette.mode == "RGBA"
    assert (read(palette)[:, :4] == 255).all()
    assert (read(palette)[:, 4:] == (10, 20, 30)).all()


@pytest.mark.parametrize(("most", "shift"), [(200, 0), (255, 0), (256, 8), (65535, 8)])
def test_32_bit_integers_have_8_bits_if_none_needs_more(tmp_path: Path, most: int, shift: int) -> None:
    samples = np.linspace(0, most, 64).astype(np.int32).reshape(8, 8)
    Image.fromarray(samples, "I").save(tmp_path / "given.tif")
    expected = (samples >> shift).astype(np.uint8)[:, :, np.newaxis].repeat(3, axis=2)
    np.testing.assert_array_equal(read(tmp_path / "given.tif"), expected)
    np.testing.assert_array_equal(read(Image.fromarray(samples, "I")), expected)


def test_a_dark_file_of_16_bits_stays_dark(tmp_path: Path) -> None:
    samples = np.full((8, 8), 200, np.uint16)
    for name in ("dark.png", "dark.pgm"):
        Image.fromarray(samples).save(tmp_path / name)
        assert (read(tmp_path / name) == 0).all()
