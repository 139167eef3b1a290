"""From figures to places in a plot."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from edgefeat_bench._report.page.markup import Attributes, Child, tag

__all__ = ["GLYPH", "WIDTH", "decades", "shortened", "steps", "words"]

#: Every plot is this wide; a phone shows it as it is, a wide window several beside each other.
WIDTH = 360.0
#: About how wide a character of the plots' 12 px type is.
GLYPH = 6.2


def steps(most: float, about: int = 4) -> list[float]:
    """Round numbers from 0 to at least `most`."""
    if most <= 0:
        return [0.0, 1.0]
    size = 10 ** math.floor(math.log10(most / about))
    step = next(size * by for by in (1, 2, 2.5, 5, 10) if size * by * about >= most * 0.999)
    return [step * index for index in range(math.ceil(most / step * 0.999) + 1)]


def decades(least: float, most: float) -> list[float]:
    """1, 2, 5, 10, ... around `least` to `most`, both above 0."""
    exponents = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 1)
    marks = [by * 10.0**exponent for exponent in exponents for by in (1, 2, 5)]
    first = max(mark for mark in marks if mark <= least * 1.0001)
    last = min((mark for mark in marks if mark >= most * 0.9999), default=marks[-1] * 2)
    return [mark for mark in marks if first <= mark <= last] or [first, last]


def words(x: float, y: float, text: str, attributes: Attributes, *children: Child) -> Element:
    """Text at a place."""
    return tag("text", {"x": x, "y": y, **attributes}, text, *children)


def shortened(text: str, width: float) -> str:
    """Text that fits into `width`; what is cut off the middle is told by an ellipsis."""
    room = max(int(width / GLYPH), 4)
    if len(text) <= room:
        return text
    head = (room - 1) * 2 // 3
    return f"{text[:head]}\u2026{text[len(text) - (room - 1 - head) :]}"
