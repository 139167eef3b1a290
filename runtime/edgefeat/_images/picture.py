"""Reading an image as the model's input: decode, turn upright, convert to RGB, resize, uint8.

Calibration, fidelity, golden vectors, benchmarks and devices all use this module, so that they see the same pixels.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import BinaryIO, Literal, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgefeat._errors import ArgumentError
from edgefeat._images.color_modes import flat
from edgefeat._images.decoding import decoded, decoded_with_share, target_size
from edgefeat._images.form import Decoding, PictureForm
from edgefeat._images.limits import DEFAULT_LIMITS, Limits
from edgefeat._images.orientation import MIRRORED_ACROSS, MIRRORED_DOWN, TRANSPOSES, orientation
from edgefeat._images.resize import Frame, resized
from edgefeat._images.sources.streams import as_picture_errors

__all__ = [
    "Channels",
    "PictureSource",
    "are_several",
    "check_several",
    "decoded",
    "fitted",
    "read_picture",
    "read_with_share",
]

#: An image given as a path, an encoded file (bytes or file object), a PIL image, or a uint8 array of shape (H, W), (H,
#: W, 1), (H, W, 3) RGB or (H, W, 4) RGBA.
PictureSource: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[np.uint8]"
)

#: The channel order of an array. Two-dimensional arrays are gray in either order.
Channels = Literal["rgb", "bgr"]


#: The kinds of arrays whose values are objects such as paths, instead of pixels.
_OBJECTS = "OUT"


def are_several(pictures: PictureSource | Sequence[PictureSource]) -> TypeGuard[Sequence[PictureSource]]:
    """Return whether these are several images: a sequence, or an array (N, H, W, C) or of N paths."""
    if isinstance(pictures, np.ndarray):
        return pictures.ndim == 4 or (pictures.ndim == 1 and pictures.dtype.kind in _OBJECTS)
    return isinstance(pictures, Sequence) and not isinstance(pictures, str | bytes | bytearray | memoryview)


def check_several(pictures: object) -> None:
    """Raise ArgumentError for a single image, whose characters, bytes or rows are not images, and what is none."""
    one = isinstance(pictures, str | bytes | bytearray | memoryview | os.PathLike | io.IOBase)
    if isinstance(pictures, np.ndarray):  # a stack of gray images has three dimensions, too
        one = pictures.ndim in (0, 2) or (pictures.ndim == 3 and pictures.shape[2] in (1, 3, 4))
    if one or not (hasattr(pictures, "__iter__") or hasattr(pictures, "__getitem__")):
        raise ArgumentError(f"pictures is one {type(pictures).__name__} (allowed: several images): write [picture]")


def read_picture(
    source: PictureSource,
    form: PictureForm,
    decoding: Decoding = "fast",
    channels: Channels = "rgb",
    *,
    threads: int = 1,
    limits: Limits = DEFAULT_LIMITS,
) -> NDArray[np.uint8]:
    """Return the image as the model's input: uint8 RGB, shape (form.height, form.width, 3), C-contiguous.

    For a network with one input channel (`form.color` is "gray") the three channels are equal.

    With `decoding="exact"` the result equals `keras.utils.load_img(path, target_size=..., interpolation="bilinear")`
    bit for bit on upright RGB files. `channels` is the channel order of an array (OpenCV's is "bgr"). `threads` does
    not change the result. Raises PictureError for anything but a complete, readable image within `limits`, and
    ArgumentError for an array of another type or shape.
    """
    return read_with_share(source, form, decoding, channels, threads=threads, limits=limits)[0]


def read_with_share(
    source: PictureSource,
    form: PictureForm,
    decoding: Decoding,
    channels: Channels,
    *,
    threads: int,
    limits: Limits,
) -> tuple[NDArray[np.uint8], float]:
    """Return the image as `read_picture` does, and the share of its rows that is in the file."""
    if channels not in ("rgb", "bgr"):
        raise ArgumentError(f"channels {channels!r} is unknown (allowed: 'rgb', 'bgr')")
    if isinstance(source, np.ndarray):
        return _fitted_array(_checked_array(source), form, channels, threads), 1.0
    with decoded_with_share(source, form, decoding, limits) as (image, share), as_picture_errors():
        return fitted(image, form, threads=threads), share


def fitted(image: Image.Image, form: PictureForm, *, threads: int = 1) -> NDArray[np.uint8]:
    """Return a decoded image as the model's input. It is resized before it is turned, so that only the small one is
    copied.
    """
    turn = orientation(image, form)
    mirrored = (turn in MIRRORED_ACROSS, turn in MIRRORED_DOWN)
    picture = _fitted(flat(image, form), target_size(form, turn), form.fit, mirrored, threads)
    if turn != 1:
        picture = picture.transpose(TRANSPOSES[turn])
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


def _fitted(
    image: Image.Image, size: tuple[int, int], fit: str, mirrored: tuple[bool, bool], threads: int
) -> Image.Image:
    """Resize the image by `fit`. On axes that will be `mirrored`, an odd spare pixel changes sides."""
    width, height = image.size
    if fit == "stretch":
        return image if image.size == size else resized(image, size, threads=threads)
    if fit == "crop":  # the same box as keras.utils.load_img(keep_aspect_ratio=True)
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
    if array.dtype.kind in "S" + _OBJECTS:
        raise ArgumentError(
            f"an array of {array.dtype} {array.shape} is not an image (allowed: uint8, or paths as text, (N,)): use a "
            "list"
        )
    if array.dtype != np.uint8:
        raise ArgumentError(
            f"an array of {array.dtype} is not an image (allowed: uint8, 0 to 255; preprocessing is in the model): "
            "use array.astype('uint8') once its values are 0 to 255"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ArgumentError(f"an array of shape {array.shape} is not an image (allowed: (H, W), (H, W, 1 | 3 | 4))")
    return np.asarray(array, np.uint8)
