"""Speed beside fidelity beside size: dots, the front that nothing else beats, names on the dots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from edgefeat_bench._report.page.markup import tag
from edgefeat_bench._report.page.scales import GLYPH, WIDTH, decades, shortened, words

__all__ = ["Dot", "front", "scatter"]

_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 420.0, 56.0, 14.0, 32.0, 40.0
#: Cosines nearer to 1 than this are equal for whoever uses the features, and drawn so.
_EQUAL = 1e-5
# So many places are right beside the dot; from those beyond a line leads to it.
_BESIDE = 8
_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Dot:
    """One contender: across (time), up (fidelity), area (bytes). The `first` is named before others."""

    name: str
    x: float
    y: float
    size: float | None
    kind: str
    note: str
    first: bool = False


def front(dots: Sequence[Dot]) -> list[Dot]:
    """Those that no other beats in both time and fidelity, quickest first."""
    best: list[Dot] = []
    for dot in sorted(dots, key=lambda one: (one.x, _loss(one))):
        if not best or _loss(dot) < _loss(best[-1]):
            best.append(dot)
    return best


def _loss(dot: Dot) -> float:
    return max(1 - dot.y, _EQUAL)


def scatter(dots: Sequence[Dot], *, told: str, across: str, up: str) -> Element:
    """An SVG of `dots`, at least one. Both axes are logarithmic, up in the distance of the cosine from 1.

    A dot has no length that could mislead, and what matters, 0.99 or 0.999, is told apart.
    """
    ticks = decades(min(dot.x for dot in dots), max(dot.x for dot in dots))
    worst = 10.0 ** math.ceil(math.log10(max(_loss(dot) for dot in dots)) - 1e-9)
    worst = max(worst, 10 * _EQUAL)
    places = {dot: _place(dot, ticks, worst) for dot in dots}
    best = front(dots)
    children = [*_axes(ticks, worst, across, up), *_line([places[dot] for dot in best])]
    boxes: list[_Box] = [(x - r, y - r, x + r, y + r) for x, y, r in places.values()]
    for dot in sorted(dots, key=lambda one: -places[one][2]):
        children.append(_mark(dot, places[dot]))
    for dot in sorted(dots, key=lambda one: (not one.first, one not in best)):
        children.extend(_named(dot, places[dot], boxes, dot.first or dot in best))
    view = f"0 0 {WIDTH:g} {_HEIGHT:g}"
    return tag("svg", {"class": "plot", "viewBox": view, "role": "img", "aria-label": told}, *children)


def _place(dot: Dot, ticks: Sequence[float], worst: float) -> tuple[float, float, float]:
    radius = 4.0 if dot.size is None else min(3 + 1.6 * math.sqrt(dot.size / 1e6), 16.0)
    return _x(dot.x, ticks), _y(_loss(dot), worst), radius


def _x(value: float, ticks: Sequence[float]) -> float:
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    return _LEFT + (math.log(value) - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)


def _y(loss: float, worst: float) -> float:
    share = (math.log(loss) - math.log(_EQUAL)) / (math.log(worst) - math.log(_EQUAL))
    return _TOP + share * (_HEIGHT - _TOP - _BOTTOM)


def _axes(ticks: Sequence[float], worst: float, across: str, up: str) -> list[Element]:
    children = []
    bottom = _HEIGHT - _BOTTOM
    for tick in ticks:
        x = _x(tick, ticks)
        children.append(tag("path", {"class": "grid", "d": f"M{x:.1f} {_TOP}V{bottom}"}))
        children.append(words(x, bottom + 15, f"{tick:g}", {"class": "tick", "text-anchor": "middle"}))
    loss = _EQUAL
    while loss <= worst * 1.001:
        y = _y(loss, worst)
        children.append(tag("path", {"class": "grid", "d": f"M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"}))
        text = "equal" if loss == _EQUAL else f"{1 - loss:.4g}"
        children.append(words(_LEFT - 8, y + 4, text, {"class": "tick", "text-anchor": "end"}))
        loss *= 10
    children.append(words(WIDTH - _RIGHT, _HEIGHT - 6, across, {"class": "tick", "text-anchor": "end"}))
    children.append(words(0, 12, up, {"class": "tick"}))
    return children


def _line(places: Sequence[tuple[float, float, float]]) -> list[Element]:
    if len(places) < 2:
        return []
    path = f"M{places[0][0]:.1f} {places[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y, _ in places[1:])
    return [tag("path", {"class": "front", "d": path})]


def _mark(dot: Dot, place: tuple[float, float, float]) -> Element:
    x, y, r = place
    look: dict[str, str | float | None] = {"class": f"dot {dot.kind}"}
    hover = tag("title", {}, f"{dot.name}: {dot.note}")
    if dot.kind == "edgefeat":
        return tag("circle", {**look, "cx": x, "cy": y, "r": r}, hover)
    side = r * 1.7
    turn = f"rotate(45 {x:.1f} {y:.1f})" if dot.kind == "peer" else None
    return tag(
        "rect", {**look, "x": x - side / 2, "y": y - side / 2, "width": side, "height": side, "transform": turn}, hover
    )


def _named(dot: Dot, place: tuple[float, float, float], boxes: list[_Box], strong: bool) -> list[Element]:
    """The name beside the dot where there is room; a dot that finds none has its name in the table and on hover."""
    x, y, r = place
    # A circle is edgefeat's already.
    text = shortened(dot.name.removeprefix("edgefeat ") if dot.kind == "edgefeat" else dot.name, 210)
    wide = len(text) * GLYPH * (1.08 if strong else 0.98) + 3
    spots = [(x + r + 4, y + 4), (x - r - 4 - wide, y + 4)]
    spots += [
        (left, y + sign * (r + rise) + 4)
        for rise in (8, 22, 36)
        for sign in (1, -1)
        for left in (x - wide / 2, x + 2, x - wide - 2)
    ]
    for number, (left, base) in enumerate(spots):
        box = (left, base - 10, left + wide, base + 3)
        inside = box[0] >= _LEFT and box[2] <= WIDTH and box[1] >= 14 and box[3] <= _HEIGHT - _BOTTOM
        if inside and not any(_overlap(box, other) for other in boxes):
            boxes.append(box)
            name = words(left, base, text, {"class": f"small{' strong' * strong}"})
            if number < _BESIDE:
                return [name]
            edge = box[1] if base > y else box[3]
            towards = min(max(x, left), left + wide)
            return [tag("path", {"class": "leader", "d": f"M{x:.1f} {y:.1f}L{towards:.1f} {edge:.1f}"}), name]
    return []


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
