"""Time against fidelity: a mark for each contender, and the front that no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from edgefeat_bench._records import Run
from edgefeat_bench._report.findings import latency, ours, quality_of, valid
from edgefeat_bench._report.numbers import joined, plain
from edgefeat_bench._report.plots.canvas import LIGHT, WIDTH, Plot, axes_at, canvas, note, svg_of

_HEIGHT = 420.0
_MARKERS = {"edgefeat": "o", "tensorflow": "s", "peer": "D"}
#: Cosines nearer to 1 than this are equal for any use of the features, and drawn so.
_EQUAL = 1e-5
#: Places for a name, in pixels from its mark: x, y, alignment.
_SPOTS = [(0, sign * rise, align) for rise in (9, 23, 37) for sign in (1, -1) for align in ("center", "left", "right")]


@dataclass(frozen=True, slots=True)
class Dot:
    """A contender by time (ms), cosine and size of its model file (bytes)."""

    name: str
    time: float
    cosine: float
    size: int | None = None
    side: str = "peer"
    strong: bool = False

    @property
    def loss(self) -> float:
        """The distance of the cosine from 1."""
        return max(1 - self.cosine, _EQUAL)

    @property
    def radius(self) -> float:
        """In pixels; the area grows with the model file."""
        return 4.0 if self.size is None else min(3 + 1.6 * (self.size / 1e6) ** 0.5, 16.0)


def pareto_front(dots: Sequence[Dot]) -> list[Dot]:
    """Return the dots that no other beats in both time and fidelity, fastest first."""
    best: list[Dot] = []
    for dot in sorted(dots, key=lambda one: (one.time, one.loss)):
        if not best or dot.loss < best[-1].loss:
            best.append(dot)
    return best


def fidelity_plots(run: Run) -> list[Plot]:
    """Return time against cosine on the first photos and on arrays."""
    found = []
    for photos in dict.fromkeys([run.photos[0], *(photos for photos in run.photos if photos.arrays)]):
        dots = []
        for result in valid(run):
            spread, quality = latency(result, photos.name), quality_of(run, result)
            cosine = quality.mean_cosine if quality else result.minimum_cosine
            if spread and cosine is not None:
                name, strong = result.contender.name.removeprefix("edgefeat "), result is ours(run)
                side, size = result.contender.side, result.model_bytes
                dots.append(Dot(name, spread.median * 1e3, min(cosine, 1.0), size, side, strong))
        if len(dots) > 1:
            found.append(_plot(photos.name, dots))
    return found


def _plot(caption: str, dots: Sequence[Dot]) -> Plot:
    """Both axes are logarithmic, the upright one in the distance of the cosine from 1: 0.99 and 0.999 are apart."""
    front, times, losses = pareto_front(dots), [dot.time for dot in dots], [dot.loss for dot in dots]
    with canvas(WIDTH, _HEIGHT) as figure:
        axes = axes_at(figure, 56, 32, WIDTH - 70, _HEIGHT - 72)
        axes.set(xscale="log", yscale="log", xlim=(min(times) * 0.8, max(times) * 1.25))
        axes.set_ylim(max(max(losses) * 1.6, 10 * _EQUAL), _EQUAL * 0.8)
        axes.grid()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: "equal" if y < 2 * _EQUAL else f"{1 - y:.4g}"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
        note(figure, 0, 12, "cosine to Keras: mean on labelled photos, or else the lowest")
        note(figure, WIDTH, _HEIGHT - 6, "ms per photo, logarithmic", "right")
        axes.step([dot.time for dot in front], [dot.loss for dot in front], ":", where="post", color=LIGHT["edgefeat"])
        for dot in sorted(dots, key=lambda one: one.radius, reverse=True):
            look: dict[str, Any] = {"color": LIGHT[dot.side], "edgecolor": LIGHT["paper"], "clip_on": False}
            axes.scatter(dot.time, dot.loss, (2 * dot.radius) ** 2, marker=_MARKERS[dot.side], zorder=3, **look)
        _write_names(axes, sorted(dots, key=lambda one: (not one.strong, one not in front)), front)
        best = joined([f"{dot.name} ({plain(dot.time)} ms, cosine {dot.cosine:.4f})" for dot in front])
        label = f"Time and fidelity on {caption}. No other is both faster and nearer to Keras than {best}."
        return Plot(caption, svg_of(figure, label))


def _write_names(axes: Axes, dots: Sequence[Dot], bold: Sequence[Dot]) -> None:
    """Write each name beside its dot, the first ones first; one that finds no room is in the table only."""
    centres = [(dot.radius, *axes.transData.transform((dot.time, dot.loss))) for dot in dots]
    taken = [Bbox.from_extents(x - r, y - r, x + r, y + r) for r, x, y in centres]
    for dot in dots:
        beside = [(dot.radius + 4, 0, "left"), (-dot.radius - 4, 0, "right")]
        for x, y, align in [*beside, *((x, y + (dot.radius if y > 0 else -dot.radius), at) for x, y, at in _SPOTS)]:
            line = {"arrowstyle": "-", "linewidth": 0.7, "color": LIGHT["faint"]} if abs(y) > dot.radius + 14 else None
            text = axes.annotate(dot.name, (dot.time, dot.loss), (x, y), textcoords="offset points", arrowprops=line)
            text.set(ha=align, va="center", size=11, weight="bold" if dot in bold or dot.strong else "normal")
            box = text.get_window_extent()
            if box.x0 >= 50 and box.x1 <= WIDTH and box.count_overlaps(taken) == 0:
                taken.append(box)
                break
            text.remove()
