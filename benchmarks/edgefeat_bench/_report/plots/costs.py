"""How cost grows with the work: a curve for each contender, its name at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from edgefeat_bench._records import Cost, Run
from edgefeat_bench._report.numbers import plain
from edgefeat_bench._report.plots.canvas import LIGHT, WIDTH, Plot, axes_at, canvas, note, svg_of
from edgefeat_bench._statistics import Estimate, median

_DASHES: dict[str, Any] = {"edgefeat": "-", "tensorflow": (0, (7, 3)), "peer": (0, (2, 3))}
#: TensorFlow's curve gets a plot of its own if it is so many times as high as the others.
_FLAT = 4
_LEFT, _NAMES, _LINE = 34.0, 132.0, 13.0


@dataclass(frozen=True, slots=True)
class _Curve:
    name: str
    side: str
    sizes: list[float]
    spreads: list[Estimate]

    @classmethod
    def of(cls, cost: Cost) -> _Curve:
        points = sorted(cost.points, key=lambda point: point.x)
        spreads = [median([seconds * 1e3 for seconds in point.seconds]) for point in points]
        return cls(cost.name, cost.side, [point.x for point in points], spreads)

    @property
    def last(self) -> float:
        return self.spreads[-1].median

    @property
    def highest(self) -> float:
        return max(spread.median for spread in self.spreads)

    def label(self) -> list[str]:
        return textwrap.wrap(f"{self.name} {plain(self.last)}", 20, max_lines=3)


def cost_plots(run: Run) -> list[Plot]:
    """Return one plot for each axis; a second one without TensorFlow where its curve would flatten the others."""
    found = []
    for axis in dict.fromkeys(cost.axis for cost in run.costs):
        curves = [_Curve.of(cost) for cost in run.costs if cost.axis == axis and cost.points]
        others = [curve for curve in curves if curve.side != "tensorflow"]
        highest = max((curve.highest for curve in others), default=0)
        if others and max(curve.highest for curve in curves) > _FLAT * highest:
            fastest = min(others, key=lambda curve: curve.last)
            first = [curve for curve in curves if curve.side == "tensorflow" or curve is fastest]
            found += [_plot(f"By {axis}", first, axis), _plot(f"By {axis}, without TensorFlow", others, axis)]
        elif curves:
            found.append(_plot(f"By {axis}", curves, axis))
    return found


def _plot(caption: str, curves: Sequence[_Curve], axis: str) -> Plot:
    """Both axes are linear, the upright one from zero."""
    tall = max(300.0, sum(_LINE * len(curve.label()) + 3 for curve in curves) + 60)
    with canvas(WIDTH, tall) as figure:
        axes = axes_at(figure, _LEFT, 22, WIDTH - _LEFT - _NAMES, tall - 58)
        axes.set_ylim(0, max(spread.high for curve in curves for spread in curve.spreads) * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter("{x:.3g}")
        axes.set_xticks(_spaced(sorted({size for curve in curves for size in curve.sizes})))
        axes.grid(axis="y")
        for curve in curves:
            middles = [spread.median for spread in curve.spreads]
            error = [[one.median - one.low for one in curve.spreads], [one.high - one.median for one in curve.spreads]]
            look = {
                "linestyle": _DASHES[curve.side],
                "markeredgecolor": LIGHT["paper"],
                "ecolor": LIGHT["ink"],
                "elinewidth": 1.3,
            }
            axes.errorbar(curve.sizes, middles, error, marker="o", color=LIGHT[curve.side], clip_on=False, lw=2, **look)
        note(figure, 0, 12, "ms per photo")
        note(figure, _LEFT + (WIDTH - _LEFT - _NAMES) / 2, tall - 5, axis, "center")
        _write_names(axes, sorted(curves, key=lambda curve: curve.last, reverse=True))
        labels = "; ".join(
            f"{curve.name} from {plain(curve.spreads[0].median)} at {curve.sizes[0]:g} "
            f"to {plain(curve.last)} at {curve.sizes[-1]:g}"
            for curve in curves
        )
        return Plot(caption, svg_of(figure, f"Milliseconds per photo by {axis}: {labels}."))


def _spaced(sizes: Sequence[float]) -> list[float]:
    """Return the sizes whose labels do not touch."""
    shown = list(sizes[:1])
    for size in sizes[1:]:
        if size - shown[-1] > 0.13 * (sizes[-1] - sizes[0]):
            shown.append(size)
    return shown


def _write_names(axes: Axes, curves: Sequence[_Curve]) -> None:
    """Write the names beside the curves' ends, highest first, each below the one before."""
    line = {"arrowstyle": "-", "linewidth": 0.7, "color": LIGHT["faint"], "shrinkA": 1, "shrinkB": 4}
    frame, below = axes.bbox, sum(_LINE * len(curve.label()) + 3 for curve in curves)
    free = frame.y1 + 18
    for curve in curves:
        tall, end = _LINE * len(curve.label()) + 3, (curve.sizes[-1], curve.last)
        wanted = axes.transData.transform(end)[1] + tall / 2
        top = min(free, max(wanted, frame.y0 - 30 + below))
        place, text = (frame.width + 12, top - tall / 2 - frame.y0), "\n".join(curve.label())
        axes.annotate(text, end, place, textcoords="axes points", va="center", size=11, linespacing=1, arrowprops=line)
        free, below = top - tall, below - tall
