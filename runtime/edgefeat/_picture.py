"""The one definition of a picture: decode -> orientation -> RGB -> resize -> uint8.

Calibration, fidelity, golden vectors, benchmarks and devices all come through here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from edgefeat._errors import ArgumentError
from edgefeat._limits import MAX_PIXELS, check_size
from edgefeat._manifest import PictureForm
from edgefeat._picture_file import as_picture_errors, opened_image, opened_stream
from edgefeat._resize import Frame, resized

__all__ = [
    "MAX_PIXELS",
    "PICTURE_SUFFIXES",
    "Channels",
    "Decoding",
    "PictureSource",
    "decoded",
    "fitted",
    "read_picture",
]

#: What a picture can be given as: a path, an encoded file as bytes or file object, a PIL image, or a uint8 array of
#: shape (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA.
PictureSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[np.uint8]"
)

#: `exact` decodes every pixel, then resizes; `fast` lets libjpeg scale while it decodes, never below `_FAST_FLOOR`
#: times the size nor `_FAST_SIDE` pixels.
Decoding = Literal["fast", "exact"]

#: The order of an array's channels. One of two dimensions is gray in either.
Channels = Literal["rgb", "bgr"]

#: The endings by which a folder's pictures are known. A file named by itself is tried whatever its ending.
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".heic", ".heif")

# Chosen by the features of real networks and photos, see docs/pictures.md. The fewer cells a network averages over,
# the more it sees of a pixel, so what is small is scaled down less.
_FAST_FLOOR, _FAST_SIDE = 1.35, 300
# Pixels converted at once where that takes copies: a strip of a large picture, all of a small one.
_STRIP_PIXELS = 1_000_000
_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow brings the pixels of a PNG to eight bits, but leaves its transparent colour in the depth of the file.
_TRANSPARENT_SCALES = {"L;2": 85.0, "L;4": 17.0, "I;16B": 1 / 256, "RGB;16B": 1 / 256}
# Which stored axes an orientation turns round on the way upright.
_MIRRORED_ACROSS, _MIRRORED_DOWN = (2, 3, 7, 8), (3, 4, 6, 7)


def read_picture(
    source: PictureSource,
    form: PictureForm,
    decoding: Decoding = "fast",
    channels: Channels = "rgb",
    *,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """The picture as the model takes it: uint8, RGB, shape (form.height, form.width, 3), C-contiguous.

    For a network of one channel (`form.color` is "gray") the three channels are equal.

    With `decoding="exact"` it equals `keras.utils.load_img(path, target_size=..., interpolation="bilinear")` bit for
    bit on upright RGB files. `channels` is the order in an array (OpenCV's is "bgr"). So many `threads` resize it,
    which changes no bit. Raises PictureError for anything that is not a whole, readable picture of at most
    `MAX_PIXELS`, and ArgumentError for an array of another type or shape.
    """
    if channels not in ("rgb", "bgr"):
        raise ArgumentError(f"channels {channels!r} is unknown (allowed: 'rgb', 'bgr')")
    if isinstance(source, np.ndarray):
        return _fitted_array(_checked_array(source), form, channels, threads)
    with decoded(source, form, decoding) as image, as_picture_errors():
        return fitted(image, form, threads=threads)


@contextmanager
def decoded(source: PictureSource, form: PictureForm, decoding: Decoding) -> Iterator[Image.Image]:
    """The decoded image, as it is stored: `fitted` makes the picture of it. Raises as `read_picture` does."""
    if decoding not in ("fast", "exact"):
        raise ArgumentError(f"decoding {decoding!r} is unknown (allowed: 'fast', 'exact')")
    if isinstance(source, Image.Image):
        check_size(source)
        yield source
        return
    with as_picture_errors(), opened_stream(source) as stream, opened_image(stream) as image:
        if decoding == "fast" and image.format in ("JPEG", "MPO"):
            width, height = _target_size(form, _orientation(image, form))
            image.draft(None, (_least(width), _least(height)))
        _mend_transparency(image)
        image.load()
        yield image


def _orientation(image: Image.Image, form: PictureForm) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none that can be read."""
    if form.orientation == "ignore":
        return 1
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001  a broken EXIF block must not lose a good picture; Pillow raises many kinds here
        return 1
    return value if value in _TRANSPOSES else 1


def _least(side: int) -> int:
    """The fewest pixels to which `fast` scales a side that becomes `side` pixels."""
    return max(_FAST_SIDE, math.ceil(_FAST_FLOOR * side))


def _target_size(form: PictureForm, orientation: int) -> tuple[int, int]:
    """Width and height before the picture is turned upright."""
    return (form.height, form.width) if orientation >= 5 else (form.width, form.height)


def fitted(image: Image.Image, form: PictureForm, *, threads: int = 1) -> NDArray[np.uint8]:
    """Resized first and turned after, so that only the small picture is ever held twice."""
    orientation = _orientation(image, form)
    mirrored = (orientation in _MIRRORED_ACROSS, orientation in _MIRRORED_DOWN)
    picture = _fitted(_flat(image, form), _target_size(form, orientation), form.fit, mirrored, threads)
    if orientation != 1:
        picture = picture.transpose(_TRANSPOSES[orientation])
    return np.asarray(picture.convert("RGB"))


def _fitted_array(array: NDArray[np.uint8], form: PictureForm, channels: Channels, threads: int) -> NDArray[np.uint8]:
    if array.shape == (form.height, form.width, 3) and form.color == "rgb":
        return np.ascontiguousarray(array[:, :, ::-1] if channels == "bgr" else array)
    if array.ndim == 3 and array.shape[2] == 3:
        frame = Frame(array, channels.upper())
        if form.fit == "stretch" and form.color == "rgb":
            return np.asarray(resized(frame, (form.width, form.height), threads=threads))
        return fitted(frame.image(), form, threads=threads)
    if array.ndim == 3 and channels == "bgr":
        array = array[:, :, (2, 1, 0, 3)]
    return fitted(Image.fromarray(np.ascontiguousarray(array)), form, threads=threads)


def _mend_transparency(image: ImageFile) -> None:
    """Brings the transparent colour of an opened, not yet decoded PNG to the eight bits its pixels will have."""
    if image.format != "PNG" or "transparency" not in image.info or not image.tile:
        return
    scale, colour = _TRANSPARENT_SCALES.get(str(image.tile[0][3])), image.info["transparency"]
    if image.mode == "1":  # older Pillows leave 1 there, where the pixels are 0 and 255
        image.info["transparency"] = 255 if colour else 0
    elif scale is not None:
        image.info["transparency"] = (
            tuple(int(sample * scale) for sample in colour) if isinstance(colour, tuple) else int(colour * scale)
        )


def _flat(image: Image.Image, form: PictureForm) -> Image.Image:
    """In gray or RGB, of eight bits and without transparency; in gray where the network takes gray."""
    image = _opaque(image, form)
    return image if form.color == "rgb" or image.mode == "L" else image.convert("L")


def _opaque(image: Image.Image, form: PictureForm) -> Image.Image:
    if image.mode.startswith("I"):
        image = _in_strips(image, "L", _upper_bits)
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        return _in_strips(image, "RGB", lambda strip: _over(strip, form.transparency))
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _in_strips(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`convert` of the whole image, strip by strip, so that its copies on the way never have all of a large one."""
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


def _upper_bits(image: Image.Image) -> Image.Image:
    """Of 16 bits a sample the upper eight, not clipped as Pillow's own conversion does."""
    upper = Image.fromarray((np.asarray(image).clip(0, 0xFFFF) >> 8).astype(np.uint8))
    upper.info = image.info
    return upper


def _over(image: Image.Image, colour: str) -> Image.Image:
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    ground = Image.new("RGB", rgba.size, colour)
    ground.paste(rgba, mask=rgba)
    return ground


def _fitted(
    image: Image.Image, size: tuple[int, int], fit: str, mirrored: tuple[bool, bool], threads: int
) -> Image.Image:
    """`mirrored` says which axes will be turned round: there an odd pixel to spare belongs to the other side."""
    width, height = image.size
    if fit == "stretch":
        return image if image.size == size else resized(image, size, threads=threads)
    if fit == "crop":  # the box of keras.utils.load_img(keep_aspect_ratio=True)
        cropped_width = min(width, max(1, height * size[0] // size[1]))
        cropped_height = min(height, max(1, width * size[1] // size[0]))
        left, top = _start(width - cropped_width, mirrored[0]), _start(height - cropped_height, mirrored[1])
        box = (left, top, left + cropped_width, top + cropped_height)
        return resized(image, size, box=box, threads=threads)
    scale = min(size[0] / width, size[1] / height)
    inner = (min(size[0], max(1, round(width * scale))), min(size[1], max(1, round(height * scale))))
    place = (_start(size[0] - inner[0], mirrored[0]), _start(size[1] - inner[1], mirrored[1]))
    padded = Image.new(image.mode, size)
    padded.paste(resized(image, inner, threads=threads), place)
    return padded


def _start(spare: int, mirrored: bool) -> int:
    return (spare + 1) // 2 if mirrored else spare // 2


def _checked_array(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise ArgumentError(
            f"an array of {array.dtype} is not a picture (allowed: uint8, 0 to 255; preprocessing is in the model): "
            "use array.astype('uint8') once its values are 0 to 255"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ArgumentError(f"an array of shape {array.shape} is not a picture (allowed: (H, W), (H, W, 1 | 3 | 4))")
    return np.asarray(array, np.uint8)
