"""JPEG 2000: limits on the size and the number of tiles, checked before OpenJPEG allocates memory."""

from __future__ import annotations

import struct
from typing import BinaryIO

from edgefeat._errors import PictureError
from edgefeat._images.limits import Limits

__all__ = ["check_jpeg2000"]

# OpenJPEG holds four bytes a sample, the same again for the wavelets, and returns a copy.
_COST = 4
_MOST_BOXES, _MOST_TILES, _MOST_COMPONENTS = 1_000, 4_096, 4


def check_jpeg2000(stream: BinaryIO, limits: Limits) -> None:
    """Raise PictureError for an image that needs too much time or memory to decode."""
    place = _codestream(stream)
    if place is None:
        return  # Pillow reports it
    stream.seek(place)
    head = stream.read(42)
    if len(head) < 42 or head[:4] != b"\xff\x4f\xff\x51":
        return
    right, bottom, left, top, across, down, tiles_left, tiles_top, components = struct.unpack(">8IH", head[8:42])
    size = (right - left, bottom - top)
    limits.check(size, what="a JPEG 2000", cost=_COST)
    if components > _MOST_COMPONENTS:
        raise PictureError(f"a JPEG 2000 of {components} channels (allowed: {_MOST_COMPONENTS})")
    if not across or not down:
        return
    tiles = -(-(right - tiles_left) // across) * -(-(bottom - tiles_top) // down)
    if tiles > _MOST_TILES:
        raise PictureError(f"a JPEG 2000 of {tiles:,} tiles (allowed: {_MOST_TILES:,}): save it with larger ones")


def _codestream(stream: BinaryIO) -> int | None:
    """Return the position of the codestream, or None if there is none."""
    head = stream.read(2)
    if head == b"\xff\x4f":
        return 0
    position = 0
    for _ in range(_MOST_BOXES):
        stream.seek(position)
        head = stream.read(16)
        if len(head) < 8:
            return None
        length, kind, start = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        if kind == b"jp2c":
            return position + start
        if length < start or position + length > 2**62:
            return None
        position += length
    raise PictureError(f"a JPEG 2000 of more than {_MOST_BOXES:,} boxes before the image")
