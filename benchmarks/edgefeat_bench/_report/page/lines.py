"""How cost grows: one line a contender from zero up, its name at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from edgefeat_bench._report.numbers import plain
from edgefeat_bench._report.page.markup import tag
from edgefeat_bench._report.page.scales import WIDTH, steps, words
from edgefeat_bench._statistics import Estimate

__all__ = ["Line", "lines"]

_LEFT, _NAMES, _TOP, _BOTTOM, _TALL = 34.0, 132.0, 22.0, 36.0, 300.0
_LETTERS, _LEADING = 21, 13.0
_Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One contender's points, at least one: (size of the work, milliseconds)."""

    name: str
    kind: str
    points: tuple[tuple[float, Estimate], ...]


def lines(rows: Sequence[Line], *, told: str, across: str, up: str) -> Element:
    """An SVG of `rows`, at least one; both axes are linear, the upright one from zero."""
    sizes = sorted({x for row in rows for x, _ in row.points})
    ticks = steps(max(spread.high for row in rows for _, spread in row.points))
    names = {row: _wrapped(row) for row in rows}
    # As tall as the names need that stand below one another on the right.
    tall = max(_TALL, sum(len(text) * _LEADING + 2 for text in names.values()) + _BOTTOM)
    bottom = tall - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        share = (x - sizes[0]) / (sizes[-1] - sizes[0]) if len(sizes) > 1 else 0.5
        return _LEFT + 6 + share * (WIDTH - _LEFT - _NAMES - 12), bottom - y / ticks[-1] * (bottom - _TOP)

    children = [words(0, 12, up, {"class": "tick"})]
    for tick in ticks:
        y = place(sizes[0], tick)[1]
        look = "axis" if tick == 0 else "grid"
        children.append(tag("path", {"class": look, "d": f"M{_LEFT} {y:.1f}H{WIDTH - _NAMES}"}))
        children.append(words(_LEFT - 6, y + 4, f"{tick:g}", {"class": "tick", "text-anchor": "end"}))
    children += _sizes(sizes, place, across, bottom)
    for row in rows:
        children.append(_drawn(row, place))
    children += _names(names, place, bottom)
    view = f"0 0 {WIDTH:g} {tall:g}"
    return tag("svg", {"class": "plot", "viewBox": view, "role": "img", "aria-label": told}, *children)


def _sizes(sizes: Sequence[float], place: _Place, across: str, bottom: float) -> list[Element]:
    children, free = [], -1.0
    for x in sizes:
        at, text = place(x, 0)[0], f"{x:.3g}"
        if at - 3.5 * len(text) > free:
            children.append(words(at, bottom + 15, text, {"class": "tick", "text-anchor": "middle"}))
            free = at + 3.5 * len(text) + 3
    middle = (_LEFT + WIDTH - _NAMES) / 2
    children.append(words(middle, bottom + 31, across, {"class": "tick", "text-anchor": "middle"}))
    return children


def _drawn(row: Line, place: _Place) -> Element:
    points = sorted(row.points, key=lambda point: point[0])
    path = "M" + "L".join("{:.1f} {:.1f}".format(*place(x, spread.median)) for x, spread in points)
    marks = [tag("path", {"class": f"line {row.kind}", "d": path})]
    for x, spread in points:
        at, y = place(x, spread.median)
        hover = tag(
            "title", {}, f"{row.name}, {x:g}: {plain(spread.median)} ms ({plain(spread.low)} to {plain(spread.high)})"
        )
        ends = f"M{at:.1f} {place(x, spread.low)[1]:.1f}V{place(x, spread.high)[1]:.1f}"
        marks.append(tag("path", {"class": "whisker", "d": ends}))
        marks.append(tag("circle", {"class": f"dot {row.kind}", "cx": at, "cy": y, "r": 3}, hover))
    return tag("g", {}, *marks)


def _names(names: Mapping[Line, list[str]], place: _Place, bottom: float) -> list[Element]:
    """Each name beside its line's last point, pushed down as far as the names above it need."""
    ends = sorted(((place(*_last(row)), row) for row in names), key=lambda pair: pair[0][1])
    below = sum(len(text) * _LEADING + 2 for text in names.values())
    left = WIDTH - _NAMES + 10
    children, free = [], 8.0
    for (x, y), row in ends:
        tall = len(names[row]) * _LEADING + 2
        # As far down as it wants to be, but leaving room for those that follow.
        top = max(free, min(y - tall / 2 + 3, bottom + 28 - below))
        children.append(tag("path", {"class": "leader", "d": f"M{x + 5:.1f} {y:.1f}L{left - 3:.1f} {top + 5:.1f}"}))
        for number, part in enumerate(names[row]):
            children.append(words(left, top + 9 + number * _LEADING, part, {"class": "small"}))
        free, below = top + tall, below - tall
    return children


def _wrapped(row: Line) -> list[str]:
    return textwrap.wrap(f"{row.name} {plain(_last(row)[1])}", _LETTERS, max_lines=3, placeholder="\u2026")


def _last(row: Line) -> tuple[float, float]:
    x, spread = max(row.points, key=lambda point: point[0])
    return x, spread.median
