"""PNG: limits the number of chunks, since Pillow reads each of them in Python."""

from __future__ import annotations

from typing import BinaryIO

from edgefeat._errors import PictureError
from edgefeat._images.limits import Limits

__all__ = ["check_png"]

# Far above what any camera or editor writes, and still a fraction of a second for Pillow.
_MAX_PNG_CHUNKS, _MAX_PNG_OTHER_CHUNKS = 100_000, 2_000

# Images and animations normally have many chunks of these kinds.
_PNG_PIXEL_CHUNKS = (b"IDAT", b"fdAT", b"fcTL")


def check_png(stream: BinaryIO, _: Limits) -> None:
    """Raise PictureError for a PNG with too many chunks."""
    position, chunks, others = 8, 0, 0
    while chunks <= _MAX_PNG_CHUNKS and others <= _MAX_PNG_OTHER_CHUNKS:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        chunks += 1
        others += head[4:] not in _PNG_PIXEL_CHUNKS
        position += 12 + int.from_bytes(head[:4], "big")
    allowed = f"{_MAX_PNG_CHUNKS:,}, {_MAX_PNG_OTHER_CHUNKS:,} of them without pixels"
    raise PictureError(f"a PNG of too many chunks (allowed: {allowed})")
