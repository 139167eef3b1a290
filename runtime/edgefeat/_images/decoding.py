"""Decoding an image as it is stored, within the limits, at the scale that libjpeg offers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO, NamedTuple

from PIL import Image
from PIL.ImageFile import ImageFile

from edgefeat._errors import ArgumentError
from edgefeat._images.color_modes import scale_transparency
from edgefeat._images.form import Decoding, PictureForm
from edgefeat._images.formats.registry import opened_image
from edgefeat._images.limits import DEFAULT_LIMITS, Limits
from edgefeat._images.orientation import TRANSPOSES, orientation, tag_orientation
from edgefeat._images.sources.streams import as_picture_errors, opened_stream

__all__ = ["decoded", "decoded_with_share", "target_size"]

# `fast` decoding never scales below `_FAST_FLOOR` times the target size or `_FAST_SIDE` pixels. Chosen by the features
# of real networks and photos, see docs/pictures.md. Small targets are scaled down less: a
# network that averages over few cells is more sensitive to single pixels.
_FAST_FLOOR, _FAST_SIDE = 1.35, 300

#: Held while an image that was given is decoded: several threads may be given the same one. By its address.
_LOADING, _ALIGNMENT = tuple(Lock() for _ in range(16)), 16
_TURNED_BACK = {**TRANSPOSES, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


@contextmanager
def decoded(
    source: object, form: PictureForm, decoding: Decoding, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Image.Image]:
    """Yield the decoded image as it is stored; `fitted` turns it into the model's input. Raises as `read_picture`."""
    with decoded_with_share(source, form, decoding, limits) as (image, _):
        yield image


@contextmanager
def decoded_with_share(
    source: object, form: PictureForm, decoding: Decoding, limits: Limits
) -> Iterator[tuple[Image.Image, float]]:
    """Yield the image as `decoded` does, and the share of its rows that is in the file: below 1 if it is truncated."""
    if decoding not in ("fast", "exact"):
        raise ArgumentError(f"decoding {decoding!r} is unknown (allowed: 'fast', 'exact')")
    if isinstance(source, Image.Image):
        limits.check(source.size)
        # `Image.open` leaves the file to be decoded, and its EXIF block to be read, by what uses the image first.
        with _LOADING[id(source) // _ALIGNMENT % len(_LOADING)], as_picture_errors():
            source.load()
            orientation(source, form)
        yield source, 1.0
        return
    with as_picture_errors(), opened_stream(source) as stream:
        opening = _Opening(form, decoding, limits)
        with opening.open(stream) as image:
            before = tag_orientation(image) if image.format == "TIFF" else 1
            try:
                image.load()
            except OSError as error:
                from edgefeat._images.truncation import is_truncation, partly_decoded

                if not is_truncation(error):
                    raise
                # Its pixels are decoded again: the image, and the decoder in the traceback, need not keep them.
                image.im = None  # type: ignore[assignment]
                yield partly_decoded(stream, image, opening.open, limits, error.with_traceback(None))
            else:
                yield _as_stored(image, form, before), 1.0


class _Opening(NamedTuple):
    form: PictureForm
    decoding: Decoding
    limits: Limits

    def open(self, stream: BinaryIO) -> ImageFile:
        """Open the image within the limits and set the scale, without decoding it."""
        image = opened_image(stream, self.limits)
        if image.format in ("JPEG", "MPO"):
            if self.decoding == "fast":
                width, height = target_size(self.form, orientation(image, self.form))
                image.draft(None, (_least(width), _least(height)))
            self.limits.check(image.size, what=f"a JPEG decoded to an image ({self.decoding} decoding)")
        scale_transparency(image)
        return image


def target_size(form: PictureForm, orientation: int) -> tuple[int, int]:
    """Return the target width and height before the image is turned upright."""
    return (form.height, form.width) if orientation >= 5 else (form.width, form.height)


def _least(side: int) -> int:
    """Return the fewest pixels that `fast` decoding keeps for a side of `side` target pixels."""
    return max(_FAST_SIDE, math.ceil(_FAST_FLOOR * side))


def _as_stored(image: Image.Image, form: PictureForm, before: int) -> Image.Image:
    """Return the image as stored: Pillow turns TIFF images upright, which is undone if the form ignores orientation."""
    if form.orientation == "ignore" and before in TRANSPOSES:
        return image.transpose(_TURNED_BACK[before])
    return image
