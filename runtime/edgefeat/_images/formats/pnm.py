"""PBM, PGM and PPM: limits on the header and on slow encodings, which Pillow reads byte by byte."""

from __future__ import annotations

import re
from typing import BinaryIO

from edgefeat._errors import PictureError
from edgefeat._images.limits import Limits

__all__ = ["check_pnm"]

_MOST_HEADER = 65_536
# Pillow decodes these value by value in Python.
_SLOW_COST = 16
# The number of words after each format's name: width, height and, for gray or colour, the largest value.
_WORDS = {b"P1": 2, b"P4": 2, b"P2": 3, b"P3": 3, b"P5": 3, b"P6": 3}
_COMMENT = re.compile(rb"#[^\r\n]*")


def check_pnm(stream: BinaryIO, limits: Limits) -> None:
    """Raise PictureError for an image whose header or values would take too long to read."""
    head = stream.read(_MOST_HEADER)
    wanted = _WORDS[head[:2]]
    words = _COMMENT.sub(b" ", head[2:]).split(None, wanted)[:wanted]
    if len(words) < wanted:
        if len(head) == _MOST_HEADER:
            raise PictureError(f"a PNM with a header of more than {_MOST_HEADER:,} bytes")
        return  # Pillow reports it
    if not (words[0].isdigit() and words[1].isdigit()) or max(len(words[0]), len(words[1])) > 10:
        return
    plain = head[:2] in (b"P1", b"P2", b"P3")
    scaled = head[:2] in (b"P5", b"P6") and words[2] not in (b"255", b"65535" if head[:2] == b"P5" else b"255")
    what, cost = ("a PNM in text or scaled", _SLOW_COST) if plain or scaled else ("a PNM", 1)
    limits.check((int(words[0]), int(words[1])), what=what, cost=cost)
