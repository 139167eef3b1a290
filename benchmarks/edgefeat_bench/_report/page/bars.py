"""Bars from zero, one below the other: name and figure stand on each, the interval is a whisker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from edgefeat_bench._report.page.markup import tag
from edgefeat_bench._report.page.scales import GLYPH, WIDTH, shortened, steps, words

__all__ = ["Bar", "Stack", "bars", "stacks"]

_ROW, _THICK, _FOOT, _EDGE = 37.0, 11.0, 20.0, 8.0
# An interval may be so much longer than the longest bar before it is cut.
_BEYOND = 1.5


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: how long, its interval if it has one, its name and figure. `kind` is the colour: a contender's side."""

    name: str
    value: float
    figure: str
    kind: str
    low: float | None = None
    high: float | None = None
    note: str = ""
    strong: bool = False
    struck: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """One bar of several parts: (what it is, how long, its figure)."""

    name: str
    parts: tuple[tuple[str, float, str], ...]
    figure: str
    strong: bool = False


def bars(rows: Sequence[Bar], *, told: str, unit: str, whole: float | None = None) -> Element:
    """An SVG of `rows`, at least one; `told` is read out in place of the picture.

    The plot ends at `whole`, else beyond the longest bar; of an interval that goes on far beyond it, an arrow is left.
    """
    longest = max(row.value for row in rows) or 1.0
    most = whole or min(max(max(row.value, row.high or 0) for row in rows) or 1.0, longest * _BEYOND)
    height = _ROW * len(rows) + _FOOT
    children = _grid(most, height, unit)
    for index, row in enumerate(rows):
        children.append(_bar(row, _ROW * index, most))
    return _plot(height, told, children)


def _bar(row: Bar, top: float, most: float) -> Element:
    place = top + 19
    look = f"mark {row.kind}{' struck' * row.struck}"
    marks = [
        tag("rect", {"class": look, "x": 0, "y": place, "width": max(_across(row.value, most), 1), "height": _THICK})
    ]
    if row.low is not None and row.high is not None:
        low, high, middle = _across(row.low, most), _across(min(row.high, most), most), place + _THICK / 2
        end = f"M{high:.1f} {middle - 4}v8" if row.high <= most else f"M{high - 4:.1f} {middle - 4}l4 4l-4 4"
        line = f"M{low:.1f} {middle - 4}v8M{low:.1f} {middle}H{high:.1f}{end}"
        marks += [tag("path", {"class": "halo", "d": line}), tag("path", {"class": "whisker", "d": line})]
    return tag(
        "g",
        {},
        _hover(row.name, row.figure, row.note),
        *_label(row.name, row.figure, top, row.strong, row.struck),
        *marks,
    )


def stacks(rows: Sequence[Stack], *, told: str) -> Element:
    """An SVG of `rows`, at least one, each as shares of its own whole, the names and figures of its parts above it."""
    tall = _ROW + 16
    height = tall * len(rows) + _FOOT
    children = _grid(100, height, "%")
    for index, row in enumerate(rows):
        children.append(_stack(row, tall * index))
    return _plot(height, told, children)


def _stack(row: Stack, top: float) -> Element:
    marks: list[Element] = []
    start, written = 0.0, 0.0
    whole = sum(length for _, length, _ in row.parts) or 1.0
    for name, length, figure in row.parts:
        kind, text = f"part-{name}", f"{name} {figure}"
        marks.append(tag("rect", {"class": f"mark {kind}", "x": written, "y": top + 20, "width": 9, "height": 9}))
        marks.append(words(written + 13, top + 29, text, {"class": "small"}))
        wide = _across(length, whole)
        size = {"width": max(wide - 1, 0.5), "height": _THICK}
        marks.append(tag("rect", {"class": f"mark {kind}", "x": start, "y": top + 35, **size}))
        start, written = start + wide, written + 13 + (len(text) + 2) * GLYPH * 0.94
    note = ", ".join(f"{name} {figure}" for name, _, figure in row.parts)
    hover, label = _hover(row.name, row.figure, note), _label(row.name, row.figure, top, row.strong, False)
    return tag("g", {}, hover, *label, *marks)


def _label(name: str, figure: str, top: float, strong: bool, struck: bool) -> list[Element]:
    look = " ".join(filter(None, ["name", "strong" * strong, "struck" * struck]))
    shown = shortened(name, WIDTH - (len(figure) + 2) * GLYPH)
    return [
        words(0, top + 13, shown, {"class": look}),
        words(WIDTH, top + 13, figure, {"class": f"figure{' struck' * struck}", "text-anchor": "end"}),
    ]


def _hover(name: str, figure: str, note: str) -> Element:
    return tag("title", {}, ": ".join(filter(None, [name, figure])) + (f" ({note})" if note else ""))


def _across(value: float, most: float) -> float:
    return value / most * (WIDTH - _EDGE)


def _grid(most: float, height: float, unit: str) -> list[Element]:
    """Lines at round figures, the unit at the last."""
    children = []
    ticks = [tick for tick in steps(most) if tick <= most]
    for tick in ticks:
        x = _across(tick, most)
        if tick:
            children.append(tag("path", {"class": "grid", "d": f"M{x:.1f} 0V{height - _FOOT + 2:.1f}"}))
        text = f"{tick:g} {unit}".strip() if tick == ticks[-1] else f"{tick:g}"
        crowded = x + len(text) * GLYPH / 2 > WIDTH
        anchor = "start" if tick == 0 else "end" if crowded else "middle"
        at = WIDTH if crowded else x
        children.append(words(at, height - 4, text, {"class": "tick", "text-anchor": anchor}))
    return children


def _plot(height: float, told: str, children: Sequence[Element]) -> Element:
    view = f"0 0 {WIDTH:g} {height:g}"
    return tag("svg", {"class": "plot", "viewBox": view, "role": "img", "aria-label": told}, *children)
