"""A run's figures as plots."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from edgefeat_bench._records import ColdStart, Contender, Photos, Result, Run
from edgefeat_bench._report.findings import (
    baseline,
    kept,
    latency,
    ours,
    per_second,
    quality_of,
    series_of,
    shown_first,
    times_as_fast,
)
from edgefeat_bench._report.numbers import interval, joined, megabytes, milliseconds, plain, seconds, times
from edgefeat_bench._report.page.bars import Bar, Stack, bars, stacks
from edgefeat_bench._report.page.lines import Line, lines
from edgefeat_bench._report.page.scatter import Dot, front, scatter
from edgefeat_bench._report.tables import fraction
from edgefeat_bench._statistics import Estimate, median

__all__ = [
    "bulk_plot",
    "cold_plots",
    "cost_plots",
    "front_plot",
    "latency_plot",
    "memory_plot",
    "peak_plot",
    "stage_plot",
]

# A line so much lower than the highest cannot be read any more.
_FLAT = 4


def latency_plot(run: Run, photos: Photos, among: Sequence[Result]) -> Element | None:
    """Milliseconds a photo of `among`, quickest first; wrong contenders below them, hollow and struck."""
    rows = [
        row
        for result in among
        if result.status in ("ok", "wrong") and (row := _latency_bar(run, result, photos)) is not None
    ]
    rows.sort(key=lambda row: (row.struck, row.value))
    if not rows:
        return None
    told = f"Milliseconds a photo on {photos.name}: {_read_out(rows)}."
    return bars(rows, told=told, unit="ms")


def _latency_bar(run: Run, result: Result, photos: Photos) -> Bar | None:
    spread, theirs = latency(result, photos.name), baseline(run)
    if spread is None:
        return None
    wrong = result.status == "wrong"
    figure, notes = milliseconds(spread.median), [f"95 % interval {interval(spread, 1e3)} ms, {spread.count} samples"]
    fast = times_as_fast(result, theirs, photos.name)
    if wrong:
        figure = "wrong features"
    elif fast and theirs and result is not theirs:
        figure += f" \u00b7 {times(fast.median)}\u00d7"
        notes.append(f"{times(fast.low)} to {times(fast.high)} times as fast as {theirs.contender.name}")
    return Bar(
        result.contender.name,
        spread.median * 1e3,
        figure,
        result.contender.side,
        None if wrong else spread.low * 1e3,
        None if wrong else spread.high * 1e3,
        "; ".join([*notes, *filter(None, [result.reason])]),
        strong=result is ours(run),
        struck=wrong,
    )


def stage_plot(run: Run, photos: Photos) -> Element | None:
    """Decode, resize and inference of those whose stages can be told apart, quickest first.

    Of edgefeat's only the default, where its variants have plots of their own: they differ in the last stage alone.
    """
    rows = []
    shown = [result for result in shown_first(run) if result.status == "ok"]
    for result in sorted(shown, key=lambda one: spread.median if (spread := latency(one, photos.name)) else 0.0):
        series, spread = series_of(result, photos.name), latency(result, photos.name)
        if series and spread and series.inference:
            parts = [
                (name, median(stage).median * 1e3, plain(median(stage).median * 1e3))
                for name, stage in (
                    ("decode", series.decode),
                    ("resize", series.resize),
                    ("inference", series.inference),
                )
                if stage and median(stage).median > 0
            ]
            rows.append(Stack(result.contender.name, tuple(parts), milliseconds(spread.median), result is ours(run)))
    if not rows:
        return None
    told = "; ".join(f"{row.name}: {', '.join(f'{name} {figure}' for name, _, figure in row.parts)}" for row in rows)
    return stacks(rows, told=f"Milliseconds a stage on {photos.name}: {told}.")


def front_plot(run: Run, photos: Photos) -> Element | None:
    """Time, cosine to the reference, and the size of the model file."""
    dots = []
    for result in kept(run):
        spread, quality = latency(result, photos.name), quality_of(run, result)
        cosine = quality.mean_cosine if quality else result.minimum_cosine
        if spread is None or cosine is None:
            continue
        weight = "" if result.model_bytes is None else f", model of {megabytes(result.model_bytes)}"
        note = f"{milliseconds(spread.median)}, cosine {cosine:.4f}{weight}"
        side, first = result.contender.side, result is ours(run)
        size = result.model_bytes
        dots.append(Dot(result.contender.name, spread.median * 1e3, min(cosine, 1.0), size, side, note, first))
    if len(dots) < 2:
        return None
    best = joined([f"{dot.name} ({dot.note})" for dot in front(dots)])
    return scatter(
        dots,
        told=f"Speed beside fidelity on {photos.name}. Nothing beats in both: {best}.",
        across="ms a photo, logarithmic",
        up="cosine to Keras: mean on labelled photos, else least" if run.quality else "least cosine to Keras",
    )


def memory_plot(run: Run, among: Sequence[Result]) -> Element | None:
    """The most memory each worker of `among` had, least first."""
    default = ours(run)
    rows = [
        _size_bar(result.contender, result.peak_memory_bytes, strong=result is default)
        for result in among
        if result.status == "ok" and result.peak_memory_bytes is not None
    ]
    rows.sort(key=lambda row: row.value)
    return bars(rows, told=f"Peak memory: {_read_out(rows)}.", unit="MB") if rows else None


def cold_plots(run: Run) -> list[tuple[str, Element]]:
    """Seconds to the first feature, peak memory and installed size of fresh processes, each with its heading."""
    if not run.cold_starts:
        return []
    timed = []
    for one in run.cold_starts:
        spread = median(one.seconds)
        note = f"95 % interval {interval(spread)} s, {spread.count} processes"
        figure, strong = seconds(spread.median), one.side == "edgefeat"
        timed.append(Bar(one.name, spread.median, figure, one.side, spread.low, spread.high, note, strong))
    memory = [_size_bar(one, one.peak_memory_bytes, strong=one.side == "edgefeat") for one in run.cold_starts]
    installed = [_size_bar(one, one.installed_bytes, strong=one.side == "edgefeat") for one in run.cold_starts]
    for rows in (timed, memory, installed):
        rows.sort(key=lambda row: row.value)
    return [
        (
            "Seconds to the first feature",
            bars(timed, told=f"Seconds to the first feature: {_read_out(timed)}.", unit="s"),
        ),
        ("Peak memory", bars(memory, told=f"Peak memory of a fresh process: {_read_out(memory)}.", unit="MB")),
        ("Installed size", bars(installed, told=f"Installed size: {_read_out(installed)}.", unit="MB")),
    ]


def _size_bar(one: ColdStart | Contender, size: int, *, strong: bool = False) -> Bar:
    return Bar(one.name, size / 1e6, megabytes(size), one.side, strong=strong)


def bulk_plot(run: Run) -> Element | None:
    """Pictures a second of a whole folder; here longer is better."""
    rows = []
    for one in run.bulk:
        speed = per_second(one)
        rows.append(
            Bar(
                one.name,
                speed.median,
                f"{plain(speed.median)} / s",
                one.side,
                speed.low,
                speed.high,
                f"{one.pictures} pictures",
            )
        )
    rows.sort(key=lambda row: -row.value)
    return bars(rows, told=f"Pictures a second: {_read_out(rows)}.", unit="/ s") if rows else None


def cost_plots(run: Run) -> list[tuple[str, Element]]:
    """One plot an axis along which the work grows, with its heading.

    Where TensorFlow's line would press the others flat, it stands beside the quickest alone; a second plot has them.
    """
    plots = []
    for axis in dict.fromkeys(cost.axis for cost in run.costs):
        rows = [
            Line(cost.name, cost.side, tuple((point.x, _in_milliseconds(point.seconds)) for point in cost.points))
            for cost in run.costs
            if cost.axis == axis and cost.points
        ]
        others = [row for row in rows if row.kind != "tensorflow"]
        if others and _most(rows) > _FLAT * _most(others):
            quickest = min(others, key=lambda row: row.points[-1][1].median)
            first = [row for row in rows if row.kind == "tensorflow" or row is quickest]
            plots.append((f"By {axis}", _cost_plot(first, axis)))
            plots.append((f"By {axis}, without TensorFlow", _cost_plot(others, axis)))
        elif rows:
            plots.append((f"By {axis}", _cost_plot(rows, axis)))
    return plots


def _cost_plot(rows: Sequence[Line], axis: str) -> Element:
    told = "; ".join(
        f"{row.name} from {plain(row.points[0][1].median)} at {row.points[0][0]:g} "
        f"to {plain(row.points[-1][1].median)} at {row.points[-1][0]:g}"
        for row in rows
    )
    return lines(rows, told=f"Milliseconds a picture by {axis}: {told}.", across=axis, up="ms a picture")


def _most(rows: Sequence[Line]) -> float:
    return max(spread.median for row in rows for _, spread in row.points)


def _in_milliseconds(samples: tuple[float, ...]) -> Estimate:
    return median([sample * 1e3 for sample in samples])


def peak_plot(run: Run) -> Element | None:
    """Inference as a part of what the engine's own matrix product reaches."""
    rows = []
    for peak in run.peaks:
        model = fraction(peak.model_operations, peak.model_seconds)
        product = fraction(peak.product_operations, peak.product_seconds)
        figure = f"{model / product:.0%} \u00b7 {plain(model)} of {plain(product)} Gop/s"
        rows.append(Bar(f"{peak.variant} {peak.engine}", model / product * 100, figure, "edgefeat"))
    return bars(rows, told=f"Part of the peak: {_read_out(rows)}.", unit="%", whole=100) if rows else None


def _read_out(rows: Sequence[Bar]) -> str:
    return "; ".join(f"{row.name} {row.figure}" for row in rows)
