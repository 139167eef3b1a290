"""GIF: limits the number of blocks before the first frame, since Pillow reads each of them in Python."""

from __future__ import annotations

from typing import BinaryIO

from edgefeat._errors import PictureError
from edgefeat._images.limits import Limits

__all__ = ["check_gif"]

# Far above what any editor writes, and still a fraction of a second for Pillow.
_MAX_GIF_BLOCKS = 4_000


def check_gif(stream: BinaryIO, _: Limits) -> None:
    """Raise PictureError for a GIF with too many blocks before its first frame."""
    head = stream.read(13)
    if len(head) < 13:
        return
    if head[10] & 0x80:
        stream.seek(3 << ((head[10] & 7) + 1), 1)  # the palette
    blocks = 0
    while (kind := stream.read(1)) not in (b"", b",", b";"):  # up to the first frame
        if kind == b"!":
            stream.seek(1, 1)
            while (size := stream.read(1)) not in (b"", b"\0"):
                stream.seek(size[0], 1)
                blocks += 1
                if blocks > _MAX_GIF_BLOCKS:
                    break
        blocks += 1
        if blocks > _MAX_GIF_BLOCKS:
            raise PictureError(f"a GIF of more than {_MAX_GIF_BLOCKS:,} blocks before the image")
