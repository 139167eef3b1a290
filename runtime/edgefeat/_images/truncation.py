"""Truncated images: how much is there, found by decoding with different data in place of the missing part."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from edgefeat._errors import PictureError
from edgefeat._images.formats.jpeg import scans_begun
from edgefeat._images.limits import TO_READ_IT, Limits

__all__ = ["is_truncation", "partly_decoded"]

_END_OF_JPEG = b"\xff\xd9"
# They do not decode to uniform gray as more data of a JPEG. The start of one may, for a block, but not of both: they
# begin with opposite bits.
_NOISES = tuple(bytes((37 * index * index + first) % 251 for index in range(1024)) for first in (91, 164))
# Formats that Pillow decodes row by row, so that missing rows can be told apart.
_BY_ROWS = ("PNG", "BMP", "PPM")
# The share if all of an image is there but not in full quality.
_ALMOST_ALL = 0.99
_STRIP_PIXELS = 1_000_000

#: Opens an image within the limits and at the wanted scale.
Opener = Callable[[BinaryIO], ImageFile]


def is_truncation(error: OSError) -> bool:
    """Return whether Pillow's error means that the file is truncated."""
    return "truncated" in str(error).lower()


def partly_decoded(
    stream: BinaryIO, image: ImageFile, opener: Opener, limits: Limits, error: OSError
) -> tuple[Image.Image, float]:
    """Return what can be decoded of a truncated image, and the share of its rows that is there.

    The share is 1 if only the file's end is missing, but no pixel. Raises PictureError if the share is below the limit,
    and `error` if it cannot be determined.
    """
    if image.format in ("JPEG", "MPO"):
        partial, share = _jpeg(stream, opener, error)
    elif image.format in _BY_ROWS:
        partial, share = _by_rows(stream, opener, error)
    else:
        raise error
    if share < limits.least_share:
        allowed = "all" if limits.least_share == 1 else f"{100 * limits.least_share:.0f} %"
        there = int(100 * share)
        advice = f": {TO_READ_IT} --truncated accept --least-share 0.{there:02d} or load(least_share=0.{there:02d})"
        raise PictureError(
            f"cannot be decoded: the file is truncated, {there} % of its rows are there (allowed: {allowed})"
            + (advice if there else "")
        )
    return partial, share


def _jpeg(stream: BinaryIO, opener: Opener, error: OSError) -> tuple[Image.Image, float]:
    stream.seek(0)
    data = stream.read().rstrip(b"\xff")  # half of a marker would combine with the next byte
    every_scan, every_mean = scans_begun(data)
    # If the file ends between two restart intervals, libjpeg skips data up to the next restart marker.
    more = [noise + _next_restart(data) + noise for noise in _NOISES]
    noisy = [_digests(_decoded(opener, data + noise + _END_OF_JPEG, error)) for noise in more]
    calm = _decoded(opener, data + _END_OF_JPEG, error)
    same = (_digests(calm) == noisy).all(axis=0)
    if every_scan and same.all():
        return calm, 1.0
    rows = int(np.argmin(same)) if not same.all() else len(same)  # further down, all copies are past the noise
    return calm, min(_ALMOST_ALL, 1.0 if every_mean else rows / len(same))


def _next_restart(data: bytes) -> bytes:
    """Return the restart marker that is due next. They count from 0 to 7 in each scan; no other bytes look like one."""
    scan = data[data.rfind(b"\xff\xda") :]
    return bytes((0xFF, 0xD0 + len(re.findall(rb"\xff[\xd0-\xd7]", scan)) % 8))


def _decoded(opener: Opener, data: bytes, error: OSError) -> ImageFile:
    image = opener(io.BytesIO(data))
    try:
        image.load()
    except OSError as again:
        if is_truncation(again):  # truncated before its first scan
            raise error from None
        raise
    return image


def _by_rows(stream: BinaryIO, opener: Opener, error: OSError) -> tuple[Image.Image, float]:
    white = _digests(_over(stream, opener, 255))
    black = _over(stream, opener, 0)
    if len(white) != black.height:
        raise error
    return black, float((_digests(black) == white).mean())


def _over(stream: BinaryIO, opener: Opener, ground: int) -> ImageFile:
    """Decode what is there of the image, on a uniform background."""
    stream.seek(0)
    image = opener(stream)
    colour = ground if len(image.getbands()) == 1 else (ground,) * len(image.getbands())
    image.im = Image.new(image.mode, image.size, colour).im
    try:
        image.load()
    except OSError as error:
        if not is_truncation(error):
            raise
        image.tile = []  # no further data to decode
    return image


def _digests(image: Image.Image) -> NDArray[np.uint64]:
    """Return a digest for each row. With it, two decoded copies of an image need not be in memory together."""
    width, height = image.size
    step = max(1, _STRIP_PIXELS // width)
    found: list[bytes] = []
    for top in range(0, height, step):
        strip = np.ascontiguousarray(image.crop((0, top, width, min(height, top + step))))
        found += (hashlib.blake2b(row, digest_size=8).digest() for row in strip)
    return np.frombuffer(b"".join(found), np.uint64)
