"""Conversion from Pillow's modes to 8-bit gray or RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from edgefeat._errors import PictureError
from edgefeat._images.form import PictureForm

__all__ = ["flat", "scale_transparency"]

_Convert: TypeAlias = Callable[[Image.Image], Image.Image]

_BITS_TAG, _PHOTOMETRIC_TAG = 258, 262

# Formats without 32-bit integers, whose 16 bits Pillow gives as such.
_OF_16_BITS = ("PNG", "PPM")
# Pixels converted at once, since conversion makes copies: a strip of a large image, or all of a small one.
_STRIP_PIXELS = 1_000_000
# Pillow converts the pixels of a PNG to eight bits but leaves its transparent colour in the file's bit depth.
_TRANSPARENT_SCALES = {"L;2": 85.0, "L;4": 17.0, "I;16B": 1 / 256, "RGB;16B": 1 / 256}


def scale_transparency(image: ImageFile) -> None:
    """Scale the transparent colour of an opened, not yet decoded PNG to the eight bits that its pixels will have."""
    if image.format != "PNG" or "transparency" not in image.info or not image.tile:
        return
    scale, colour = _TRANSPARENT_SCALES.get(str(image.tile[0][3])), image.info["transparency"]
    if image.mode == "1":  # older Pillow versions leave 1 there, but the pixels are 0 and 255
        image.info["transparency"] = 255 if colour else 0
    elif scale is not None:
        image.info["transparency"] = (
            tuple(int(sample * scale) for sample in colour) if isinstance(colour, tuple) else int(colour * scale)
        )


def flat(image: Image.Image, form: PictureForm) -> Image.Image:
    """Return the image as 8-bit gray or RGB without transparency, in gray if the network takes gray."""
    image = _opaque(image, form)
    return image if form.color == "rgb" or image.mode == "L" else image.convert("L")


def _opaque(image: Image.Image, form: PictureForm) -> Image.Image:
    transparent = _is_transparent(image)
    if image.mode.startswith("I"):
        image = _in_strips(image, "L", _upper_bits(image))
    elif image.mode == "F":
        image = _in_strips(image, "L", _bits_of_float(image))
    if transparent:
        return _in_strips(image, "RGB", lambda strip: _over(strip, form.transparency))
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _is_transparent(image: Image.Image) -> bool:
    """Return whether pixels are transparent, by the image's mode, its palette or a colour that stands for it."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa"):
        return True
    if image.mode == "P":
        return "transparency" in image.info or (image.palette is not None and image.palette.mode.endswith("A"))
    # Pillow leaves the colour in the `info` of an image without transparency that was made of one, as by `convert`.
    return image.format is not None and "transparency" in image.info


def _in_strips(image: Image.Image, mode: str, convert: _Convert) -> Image.Image:
    """Convert the image in strips, so that intermediate copies never hold all of a large image."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if rows >= height:
        return convert(image)
    whole = Image.new(mode, image.size)
    for top in range(0, height, rows):
        whole.paste(convert(image.crop((0, top, width, min(height, top + rows)))), (0, top))
    if "transparency" in image.info:
        whole.info["transparency"] = image.info["transparency"]
    return whole


def _upper_bits(image: Image.Image) -> _Convert:
    """Return a converter that takes the upper 8 of 16 bits; Pillow's own conversion clips the values.

    32-bit integers have 16 bits, or 8 if none needs more. Where Pillow itself makes them of 16 bits, they have 16.
    """
    tags = getattr(image, "tag_v2", {})  # for TIFF, Pillow does not scale 12 bits, nor invert 16 bits where 0 is white
    shift = 4 if tags.get(_BITS_TAG) == (12,) else 8
    white = 0xFF if image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC_TAG) == 0 else 0
    if image.mode == "I" and _checked_range(image, 0xFFFF, "0 to 65535") <= 0xFF and image.format not in _OF_16_BITS:
        shift = 0

    def convert(strip: Image.Image) -> Image.Image:
        upper = Image.fromarray((np.asarray(strip) >> shift).astype(np.uint8) ^ np.uint8(white))
        upper.info = strip.info
        return upper

    return convert


def _bits_of_float(image: Image.Image) -> _Convert:
    """Return a converter to 8 bits for samples of 0 to 1, or of 0 to 255 if one exceeds 1."""
    scale = 255 if _checked_range(image, 255, "0 to 1, or 0 to 255") <= 1 else 1

    def convert(strip: Image.Image) -> Image.Image:
        samples = np.nan_to_num(np.asarray(strip) * np.float32(scale))
        return Image.fromarray(np.rint(samples.clip(0, 255)).astype(np.uint8))

    return convert


def _checked_range(image: Image.Image, limit: int, allowed: str) -> float:
    """Return the largest sample of one channel. Raises PictureError if a sample is out of range."""
    least, most = image.getextrema()
    assert isinstance(least, int | float)
    assert isinstance(most, int | float)
    if not (least >= 0 and most <= limit):
        raise PictureError(
            f"samples from {least:g} to {most:g} (allowed: {allowed}): scale them first, "
            "as the file does not give their range"
        )
    return most


def _over(image: Image.Image, colour: str) -> Image.Image:
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    ground = Image.new("RGB", rgba.size, colour)
    ground.paste(rgba, mask=rgba)
    return ground
