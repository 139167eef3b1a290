"""Bar plots: time, stages, memory, installed size, speed on a folder, share of the peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from edgefeat_bench._records import Photos, Result, Run, Series
from edgefeat_bench._report import findings
from edgefeat_bench._report.numbers import megabytes, milliseconds, plain, times
from edgefeat_bench._report.plots.canvas import LIGHT, WIDTH, Plot, axes_at, canvas, svg_files, svg_of
from edgefeat_bench._statistics import Estimate, median

_STAGES = {"decode": LIGHT["edgefeat"], "resize": LIGHT["resize"], "inference": LIGHT["inference"]}
_ROW, _STAGE_ROW, _FOOT = 37.0, 53.0, 20.0
_HALO: list[Any] = [withStroke(linewidth=3.4, foreground=LIGHT["paper"])]
_WHISKER: dict[str, Any] = {"fmt": "none", "ecolor": LIGHT["ink"], "elinewidth": 1.3, "capsize": 4, "capthick": 1.3}
_HOLLOW: dict[str, Any] = {"facecolor": "none", "edgecolor": LIGHT["faint"], "linestyle": (0, (3, 3))}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from zero with its interval, its name and its figure. `side` gives the colour."""

    name: str
    value: float
    figure: str
    side: str
    spread: Estimate | None = None
    strong: bool = False
    wrong: bool = False


def latency_plots(run: Run, *, own: bool) -> list[Plot]:
    """Return the milliseconds per photo, for each kind of photos.

    With `own`, of edgefeat's variants beside its default; otherwise of all others. Empty where there are none.
    """
    variants, mine = findings.own_variants(run), findings.ours(run)
    among = [one for one in run.results if one not in variants]
    if own:
        among = [*variants, *([mine] if mine else [])] if variants else []
    return [plot for photos in run.photos for plot in _bars(photos.name, _latency_bars(run, photos, among), "ms")]


def _latency_bars(run: Run, photos: Photos, among: Sequence[Result]) -> list[Bar]:
    """Return the bars of `among`, fastest first, wrong contenders last."""
    base, mine = findings.baseline(run), findings.ours(run)
    rows = []
    for result in among:
        spread = findings.latency(result, photos.name)
        if spread is None or result.status not in ("ok", "wrong"):
            continue
        wrong, factor = result.status == "wrong", findings.speedup(result, base, photos.name)
        ratio = f" \u00b7 {times(factor.median)}" if factor and result is not base else ""
        text = "wrong features" if wrong else milliseconds(spread.median) + ratio
        scaled = Estimate(spread.median * 1e3, spread.low * 1e3, spread.high * 1e3, spread.count)
        side = result.contender.side
        rows.append(Bar(result.contender.name, scaled.median, text, side, scaled, result is mine, wrong))
    return sorted(rows, key=lambda row: (row.wrong, row.value))


def readme_plots(run: Run) -> dict[str, str]:
    """Return SVG files, `light` and `dark`: edgefeat, the fastest peer and TensorFlow on each kind of photos.

    Empty where none of them was timed.
    """
    panels = []
    for photos in run.photos:
        shown = (findings.ours(run), findings.best_peer(run, photos.name), findings.baseline(run))
        if rows := _latency_bars(run, photos, [one for one in shown if one]):
            panels.append((photos.name, rows))
    if not panels:
        return {}
    columns, tall = min(len(panels), 2), _ROW * max(len(rows) for _, rows in panels) + 64
    width, height = columns * (WIDTH + 32), -(-len(panels) // columns) * tall + 16
    with canvas(width, height) as figure:
        for index, (name, rows) in enumerate(panels):
            left, top = 16 + index % columns * (WIDTH + 32), 16 + index // columns * tall
            figure.text(left / width, 1 - (top + 14) / height, name, size=13, weight="bold")
            _draw(axes_at(figure, left, top + 30, WIDTH, _ROW * len(rows)), rows, "ms")
        label = "; ".join(f"{name}: {_read_out(rows)}" for name, rows in panels)
        return svg_files(svg_of(figure, f"Milliseconds per photo on {label}."))


def stage_plots(run: Run) -> list[Plot]:
    """Return the shares of decoding, resizing and inference, fastest first, for each kind of photos."""
    found, variants = [], findings.own_variants(run)
    for photos in run.photos:
        timed = [(one, findings.series_of(one, photos.name)) for one in findings.valid(run) if one not in variants]
        rows = [(median(series.seconds).median, one, series) for one, series in timed if series and series.inference]
        if rows:
            found.append(_stages(run, photos, sorted(rows, key=lambda row: row[0])))
    return found


def _stages(run: Run, photos: Photos, rows: Sequence[tuple[float, Result, Series]]) -> Plot:
    height, labels = _STAGE_ROW * len(rows), []
    with canvas(WIDTH, height + _FOOT) as figure:
        axes = axes_at(figure, 0, 0, WIDTH, height)
        _scale(axes, 100, height, "%")
        for index, (time, result, series) in enumerate(rows):
            top, start = _STAGE_ROW * index, 0.0
            _label(axes, top, result.contender.name, milliseconds(time), strong=result is findings.ours(run))
            parts = {name: median(found).median for name in _STAGES if (found := getattr(series, name))}
            for name in [name for name in parts if parts[name]]:
                share, left = 100 * parts[name] / sum(parts.values()), 31 * list(_STAGES).index(name)
                look: dict[str, Any] = {"color": _STAGES[name], "edgecolor": LIGHT["paper"], "linewidth": 1}
                axes.barh(top + 40.5, share, 11, left=start, **look)
                axes.barh(top + 24.5, 2.5, 9, left=left, color=_STAGES[name])
                axes.text(left + 3.6, top + 29, f"{name} {plain(parts[name] * 1e3)}", size=11)
                start += share
            labels.append(f"{result.contender.name}: " + ", ".join(f"{key} {plain(parts[key] * 1e3)}" for key in parts))
        return Plot(photos.name, svg_of(figure, f"Milliseconds in each stage on {photos.name}: {'; '.join(labels)}."))


def cold_plots(run: Run) -> list[Plot]:
    """Return time, memory and installed size of new processes, the smallest first."""
    timed, memory, installed = [], [], []
    for one in run.cold_starts:
        spread, strong = median(one.seconds), one.side == "edgefeat"
        timed.append(Bar(one.name, spread.median, f"{plain(spread.median)} s", one.side, spread, strong))
        memory.append(_size(one.name, one.side, one.peak_memory_bytes, strong))
        installed.append(_size(one.name, one.side, one.installed_bytes, strong))
    return [
        *_bars("Seconds to the first feature", sorted(timed, key=_by_value), "s"),
        *_bars("Peak memory", sorted(memory, key=_by_value), "MB"),
        *_bars("Installed size", sorted(installed, key=_by_value), "MB"),
    ]


def memory_plots(run: Run) -> list[Plot]:
    """Return the peak memory of the contenders' processes, edgefeat's variants in a plot of their own."""
    variants, mine = findings.own_variants(run), findings.ours(run)
    bars: dict[bool, list[Bar]] = {False: [], True: []}
    for one in [one for one in findings.valid(run) if one.peak_memory_bytes]:
        size = one.peak_memory_bytes or 0
        bars[one in variants].append(_size(one.contender.name, one.contender.side, size, one is mine))
    return [
        *_bars("Contenders", sorted(bars[False], key=_by_value), "MB"),
        *_bars("edgefeat's engines and variants", sorted(bars[True], key=_by_value), "MB"),
    ]


def bulk_plots(run: Run) -> list[Plot]:
    """Return the photos per second of a whole folder, fastest first."""
    speeds = [(one, findings.per_second(one)) for one in run.bulk]
    bars = [Bar(one.name, speed.median, f"{plain(speed.median)} / s", one.side, speed) for one, speed in speeds]
    return _bars("Photos per second", sorted(bars, key=_by_value, reverse=True), "/ s")


def peak_plots(run: Run) -> list[Plot]:
    """Return inference as a share of what the engine's own matrix product reaches."""
    bars = []
    for peak in run.peaks:
        model, product = findings.peak_rates(peak)
        text = f"{model / product:.0%} \u00b7 {plain(model)} of {plain(product)} Gop/s"
        bars.append(Bar(f"{peak.variant} {peak.engine}", model / product * 100, text, "edgefeat"))
    return _bars("Share of the engine's own peak", bars, "%", 100)


def _size(name: str, side: str, size: int, strong: bool) -> Bar:
    return Bar(name, size / 1e6, megabytes(size), side, strong=strong)


def _by_value(bar: Bar) -> float:
    return bar.value


def _bars(caption: str, rows: Sequence[Bar], unit: str, whole: float | None = None) -> list[Plot]:
    """Return a plot with a row for each bar; none without rows."""
    if not rows:
        return []
    height = _ROW * len(rows)
    with canvas(WIDTH, height + _FOOT) as figure:
        _draw(axes_at(figure, 0, 0, WIDTH, height), rows, unit, whole)
        return [Plot(caption, svg_of(figure, f"{caption}: {_read_out(rows)}."))]


def _read_out(rows: Sequence[Bar]) -> str:
    return "; ".join(f"{row.name} {row.figure}" for row in rows)


def _draw(axes: Axes, rows: Sequence[Bar], unit: str, whole: float | None = None) -> None:
    """Draw bars from zero; the scale ends at `whole`, or else with the longest interval, cut far beyond all bars."""
    longest = max(row.value for row in rows) or 1.0
    most = whole or min(max(longest, *(row.spread.high for row in rows if row.spread), 0), longest * 1.5)
    _scale(axes, most, _ROW * len(rows), unit)
    for index, row in enumerate(rows):
        middle = _ROW * index + 24.5
        axes.barh(middle, row.value, 11, **(_HOLLOW if row.wrong else {"color": LIGHT[row.side]}))
        if row.spread and not row.wrong:
            error = [[row.value - row.spread.low], [min(row.spread.high, most) - row.value]]
            for artist in axes.errorbar(row.value, middle, xerr=error, **_WHISKER).get_children():
                artist.set_path_effects(_HALO)
            if row.spread.high > most:
                axes.plot(most, middle, ">", color=LIGHT["ink"], markersize=5, clip_on=False)
        _label(axes, _ROW * index, row.name, row.figure, strong=row.strong, faint=row.wrong)


def _scale(axes: Axes, most: float, height: float, unit: str) -> None:
    axes.set(xlim=(0, most * WIDTH / (WIDTH - 8)), ylim=(height, 0), yticks=[])
    axes.grid(axis="x")
    ticks = [tick for tick in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, most) if tick <= most * 1.001]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks[:-1]] + [f"{ticks[-1]:g} {unit}"])
    first, *_, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    if ticks[-1] > most * 0.93:
        last.set_horizontalalignment("right")


def _label(axes: Axes, top: float, name: str, figure: str, *, strong: bool, faint: bool = False) -> None:
    room = 54 - len(figure)
    shown = name if len(name) <= room else f"{name[: room * 2 // 3]}\u2026{name[-(room // 3) :]}"
    look: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "color": LIGHT["faint" if faint else "ink"]}
    axes.text(0, top + 13, shown, weight="bold" if strong else "normal", **look)
    axes.text(1, top + 13, figure, ha="right", **look)
