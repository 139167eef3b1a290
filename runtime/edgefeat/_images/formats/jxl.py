"""JPEG XL: a limit on the size, read from the codestream's header. The plugin decodes as soon as it opens a file."""

from __future__ import annotations

from typing import BinaryIO

from edgefeat._errors import PictureError
from edgefeat._images.limits import Limits

__all__ = ["check_jxl"]

# The decoder works in float, four bytes a sample, and returns two copies.
_COST = 4
_MOST_BOXES = 1_000
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_WIDTHS = (9, 13, 18, 30)


def check_jxl(stream: BinaryIO, limits: Limits) -> None:
    """Raise PictureError for an image that is too large to decode or whose size cannot be determined."""
    head = _codestream(stream)
    if len(head) < 12 or head[:2] != b"\xff\x0a":
        raise PictureError("cannot be decoded: the header is damaged or of an unknown type")
    limits.check(_size(int.from_bytes(head[2:], "little")), what="a JPEG XL", cost=_COST)


def _codestream(stream: BinaryIO) -> bytes:
    """Return the first bytes of the codestream, inside or outside a container."""
    head = stream.read(16)
    if head[:2] == b"\xff\x0a":
        return head
    position = 0
    for _ in range(_MOST_BOXES):
        stream.seek(position)
        head = stream.read(16)
        length, kind, start = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            stream.seek(position + start + (4 if kind == b"jxlp" else 0))
            return stream.read(16)
        if len(head) < 8 or length < start or position + length > 2**62:
            return b""
        position += length
    return b""


class _Bits:
    """Reads bits, lowest first."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def take(self, count: int) -> int:
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return value


def _size(bits: int) -> tuple[int, int]:
    """Return width and height from the standard's SizeHeader (ISO/IEC 18181-1)."""
    reader = _Bits(bits)
    small = reader.take(1)

    def side() -> int:
        return 8 * (reader.take(5) + 1) if small else reader.take(_WIDTHS[reader.take(2)]) + 1

    height = side()
    ratio = reader.take(3)
    if not ratio:
        return side(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height
