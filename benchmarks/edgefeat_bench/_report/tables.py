"""A run's figures as tables: the same ones in Markdown, on the page and in the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from edgefeat_bench._records import Photos, Quality, Result, Run
from edgefeat_bench._report.findings import (
    baseline,
    latency,
    of_side,
    per_second,
    quality_of,
    series_of,
    times_as_fast,
)
from edgefeat_bench._report.numbers import interval, plain, times
from edgefeat_bench._statistics import Estimate, median, quantile, ratio

__all__ = [
    "Row",
    "Table",
    "apart_table",
    "bulk_table",
    "cold_table",
    "contender_table",
    "cost_tables",
    "fraction",
    "latency_table",
    "peak_table",
    "quality_table",
    "stage_table",
    "versions_table",
]

_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """Cells of one contender; a `struck` one is shown as wrong."""

    cells: tuple[str, ...]
    struck: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, a header and rows of as many cells; the first cell names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def latency_table(run: Run, photos: Photos) -> Table:
    """Milliseconds from photo to feature; wrong contenders last and struck, died ones with what they had."""
    theirs = baseline(run)
    order = {"ok": 0, "wrong": 1, "died": 2, "absent": 3}
    timed = [result for result in run.results if series_of(result, photos.name)]
    rows = tuple(_latency_row(result, theirs, photos) for result in sorted(timed, key=lambda one: order[one.status]))
    header = ("contender", "ms", "95 % interval", "p90", "p99", "times as fast", "95 % interval", "samples")
    return Table(f"{photos.name}: milliseconds from {_source(photos)} to feature", header, rows)


def _source(photos: Photos) -> str:
    return f"{'array' if photos.arrays else 'file'} ({plain(photos.megapixels)} megapixels, {len(photos.files)} photos)"


def _latency_row(result: Result, theirs: Result | None, photos: Photos) -> Row:
    series, spread = series_of(result, photos.name), latency(result, photos.name)
    assert series is not None
    assert spread is not None
    fast = times_as_fast(result, theirs, photos.name)
    tails = [quantile(series.seconds, share) for share in (0.9, 0.99)]
    return Row(
        (
            _named(result),
            plain(spread.median * 1e3),
            interval(spread, 1e3),
            *(_NOTHING if tail is None else plain(tail * 1e3) for tail in tails),
            times(fast.median) if fast else _NOTHING,
            _ratio_interval(fast),
            str(spread.count),
        ),
        struck=result.status != "ok",
    )


def _named(result: Result) -> str:
    return result.contender.name + {"wrong": " (wrong)", "died": " (died)"}.get(result.status, "")


def _ratio_interval(fast: Estimate | None) -> str:
    return f"{times(fast.low)} to {times(fast.high)}" if fast else _NOTHING


def stage_table(run: Run, photos: Photos) -> Table:
    """Milliseconds of each stage, medians each by itself."""
    rows = []
    for result in run.results:
        series = series_of(result, photos.name)
        if result.status == "ok" and series and series.inference:
            stages = [
                plain(median(stage).median * 1e3) if stage else _NOTHING for stage in (series.decode, series.resize)
            ]
            rows.append(Row((result.contender.name, *stages, plain(median(series.inference).median * 1e3))))
    return Table(f"{photos.name}: milliseconds a stage", ("contender", "decode", "resize", "inference"), tuple(rows))


def contender_table(run: Run) -> Table:
    """What each contender weighs and how near its features are."""
    rows = []
    for result in run.results:
        if result.status == "absent":
            continue
        quality = quality_of(run, result)
        rows.append(
            Row(
                (
                    _named(result),
                    _NOTHING if result.peak_memory_bytes is None else plain(result.peak_memory_bytes / 1e6),
                    _NOTHING if result.model_bytes is None else plain(result.model_bytes / 1e6),
                    _NOTHING if result.start_seconds is None else plain(result.start_seconds),
                    _NOTHING if result.minimum_cosine is None else f"{result.minimum_cosine:.4f}",
                    f"{quality.mean_cosine:.4f}" if quality else _NOTHING,
                ),
                struck=result.status != "ok",
            )
        )
    header = ("contender", "peak memory MB", "model MB", "start s", "least cosine", "mean cosine")
    return Table(f"Memory, model file, start of the worker, and cosine to {run.reference}", header, tuple(rows))


def quality_table(run: Run) -> Table:
    """Fidelity and accuracy on labelled photos."""
    header = ("contender", "mean cosine", "least cosine", "overlap@10", "1-NN accuracy", "linear probe")
    wrong = {result.contender.name for result in run.results if result.status == "wrong"}
    first: Quality | None = run.quality[0] if run.quality else None
    where = f" on {first.photos} labelled photos of {first.classes} classes" if first else ""
    rows = tuple(
        Row(
            (
                one.name,
                f"{one.mean_cosine:.5f}",
                f"{one.minimum_cosine:.5f}",
                f"{one.overlap:.3f}",
                f"{one.nearest_accuracy:.1%}",
                f"{one.linear_accuracy:.1%}",
            ),
            struck=one.name in wrong,
        )
        for one in run.quality
    )
    return Table(f"Fidelity and accuracy{where}", header, rows)


def cold_table(run: Run) -> Table:
    """Fresh processes; ratios are of the full TensorFlow path, or the first measured, to each."""
    header = (
        "fresh process",
        "s",
        "95 % interval",
        "times as fast",
        "memory MB",
        "times less",
        "installed MB",
        "times less",
    )
    if not run.cold_starts:
        return Table("", header, ())
    base = of_side(run.cold_starts, "tensorflow") or run.cold_starts[0]
    rows = []
    for one in run.cold_starts:
        spread = median(one.seconds)
        rows.append(
            Row(
                (
                    one.name,
                    f"{spread.median:.2f}",
                    f"{spread.low:.2f} to {spread.high:.2f}",
                    times(ratio(base.seconds, one.seconds).median),
                    plain(one.peak_memory_bytes / 1e6),
                    times(base.peak_memory_bytes / one.peak_memory_bytes),
                    plain(one.installed_bytes / 1e6),
                    times(base.installed_bytes / one.installed_bytes),
                )
            )
        )
    return Table(f"From nothing to one photo's feature; ratios are to {base.name}", header, tuple(rows))


def bulk_table(run: Run) -> Table:
    """A folder at once."""
    rows = []
    for one in run.bulk:
        speed = per_second(one)
        rows.append(
            Row((one.name, plain(speed.median), interval(speed), str(one.pictures), plain(one.peak_memory_bytes / 1e6)))
        )
    header = ("all cores", "pictures a second", "95 % interval", "pictures", "memory MB")
    return Table("A folder at once, start of the process included", header, tuple(rows))


def cost_tables(run: Run) -> list[Table]:
    """One table an axis: milliseconds a picture, a column for each size of the work."""
    found = []
    for axis in dict.fromkeys(cost.axis for cost in run.costs):
        costs = [cost for cost in run.costs if cost.axis == axis]
        sizes = sorted({point.x for cost in costs for point in cost.points})
        rows = []
        for cost in costs:
            by_size = {point.x: median(point.seconds).median for point in cost.points}
            rows.append(Row((cost.name, *(plain(by_size[x] * 1e3) if x in by_size else _NOTHING for x in sizes))))
        found.append(Table(f"Milliseconds a picture by {axis}", ("contender", *(f"{x:g}" for x in sizes)), tuple(rows)))
    return found


def fraction(operations: int, seconds: tuple[float, ...]) -> float:
    """Thousand million operations a second, by the median."""
    return operations / median(seconds).median / 1e9


def peak_table(run: Run) -> Table:
    """Inference beside the same engine's own matrix product."""
    rows = []
    for peak in run.peaks:
        model = fraction(peak.model_operations, peak.model_seconds)
        product = fraction(peak.product_operations, peak.product_seconds)
        rows.append(Row((f"{peak.variant} {peak.engine}", plain(model), plain(product), f"{model / product:.0%}")))
    header = ("model", "Gop/s", "matrix product Gop/s", "of the peak")
    return Table("Inference beside the engine's own matrix product", header, tuple(rows))


def apart_table(run: Run) -> Table:
    """What is not compared, why, and the command that mends it."""
    rows = tuple(
        Row((result.contender.name, result.status, result.reason, result.remedy or _NOTHING))
        for result in run.results
        if result.status != "ok"
    )
    return Table("Not compared", ("contender", "", "why", "what to do"), rows)


def versions_table(run: Run) -> Table:
    """What each contender ran on."""
    rows = tuple(
        Row(
            (result.contender.name, ", ".join(f"{name} {version}" for name, version in sorted(result.versions.items())))
        )
        for result in run.results
        if result.versions
    )
    return Table("Versions", ("contender", "of"), rows)
