"""A run's figures as tables: the same in Markdown, on the page, in the README and in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgefeat_bench._records import ColdStart, Peak, Photos, Result, Run
from edgefeat_bench._report.findings import (
    baseline,
    best_peer,
    cold_factors,
    first_of,
    latency,
    ours,
    per_second,
    quality_of,
    series_of,
    speedup,
    valid,
)
from edgefeat_bench._report.numbers import interval, megabytes, milliseconds, plain, times, times_interval
from edgefeat_bench._statistics import Estimate, median, quantile, ratio

_Item = TypeVar("_Item")
_Columns = Mapping[str, Callable[[_Item], str]]
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row; a `struck` one is crossed out, because its contender is wrong or incomplete."""

    cells: tuple[str, ...]
    struck: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, a header and rows of as many cells; the first cell names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def _table(
    caption: str, items: Sequence[_Item], columns: _Columns[_Item], struck: Callable[[_Item], bool] = lambda _: False
) -> Table:
    """Return a table with a row for each item. Two headers that read the same differ by spaces at their ends."""
    rows = tuple(Row(tuple(cell(item) for cell in columns.values()), struck(item)) for item in items)
    return Table(caption, tuple(header.strip() for header in columns), rows)


def _optional(value: float | None, form: Callable[[float], str] = plain) -> str:
    return NOTHING if value is None else form(value)


def _megabytes(size: int | None) -> str:
    return NOTHING if size is None else plain(size / 1e6)


def _invalid(result: Result) -> bool:
    return result.status != "ok"


def status_of(result: Result) -> str:
    """Return the status in words."""
    return {"absent": "not installed", "died": "crashed"}.get(result.status, result.status)


def _name(result: Result) -> str:
    return result.contender.name + (f" ({status_of(result)})" if _invalid(result) else "")


def latency_table(run: Run, photos: Photos) -> Table:
    """Return the milliseconds from photo to feature; wrong and crashed contenders last."""
    source = "array" if photos.arrays else "file"
    timed = [(result, series) for result in run.results if (series := series_of(result, photos.name))]
    timed.sort(key=lambda pair: ("ok", "wrong", "died", "absent").index(pair[0].status))
    base = baseline(run)

    def spread(result: Result) -> Estimate:
        return (
            median(result_series.seconds) if (result_series := series_of(result, photos.name)) else Estimate(*[0] * 4)
        )

    def factor(result: Result, form: Callable[[Estimate], str]) -> str:
        return form(found) if (found := speedup(result, base, photos.name)) else NOTHING

    def tail(seconds: Sequence[float], share: float) -> str:
        return _optional(quantile(seconds, share), lambda value: plain(value * 1e3))

    return _table(
        f"{photos.name}: milliseconds from {source} ({plain(photos.megapixels)} megapixels, "
        f"{len(photos.files)} photos) to feature",
        timed,
        {
            "contender": lambda pair: _name(pair[0]),
            "ms": lambda pair: plain(spread(pair[0]).median * 1e3),
            "95 % interval": lambda pair: interval(spread(pair[0]), 1e3),
            "p90": lambda pair: tail(pair[1].seconds, 0.9),
            "p99": lambda pair: tail(pair[1].seconds, 0.99),
            "speed-up": lambda pair: factor(pair[0], lambda found: times(found.median)),
            "95 % interval ": lambda pair: factor(pair[0], times_interval),
            "samples": lambda pair: str(len(pair[1].seconds)),
        },
        lambda pair: _invalid(pair[0]),
    )


def stage_table(run: Run, photos: Photos) -> Table:
    """Return the milliseconds of each stage, medians each by itself."""
    timed = [(result, series) for result in valid(run) if (series := series_of(result, photos.name))]

    def stage(seconds: tuple[float, ...]) -> str:
        return plain(median(seconds).median * 1e3) if seconds else NOTHING

    return _table(
        f"{photos.name}: milliseconds in each stage",
        [pair for pair in timed if pair[1].inference],
        {
            "contender": lambda pair: pair[0].contender.name,
            "decode": lambda pair: stage(pair[1].decode),
            "resize": lambda pair: stage(pair[1].resize),
            "inference": lambda pair: stage(pair[1].inference),
        },
    )


def contender_table(run: Run) -> Table:
    """Return memory, model size, start and fidelity of each contender."""
    quality = {result.contender.name: quality_of(run, result) for result in run.results}
    return _table(
        f"Memory, model file, start of the worker, and cosine to {run.reference}",
        [result for result in run.results if result.status != "absent"],
        {
            "contender": _name,
            "peak memory MB": lambda one: _megabytes(one.peak_memory_bytes),
            "model MB": lambda one: _megabytes(one.model_bytes),
            "start s": lambda one: _optional(one.start_seconds),
            "lowest cosine": lambda one: _optional(one.minimum_cosine, "{:.4f}".format),
            "mean cosine": lambda one: (
                f"{found.mean_cosine:.4f}" if (found := quality[one.contender.name]) else NOTHING
            ),
        },
        _invalid,
    )


def quality_table(run: Run) -> Table:
    """Return fidelity and accuracy on labelled photos."""
    wrong = {result.contender.name for result in run.results if result.status == "wrong"}
    where = f" on {run.quality[0].photos} labelled photos of {run.quality[0].classes} classes" if run.quality else ""
    return _table(
        f"Fidelity and accuracy{where}",
        run.quality,
        {
            "contender": lambda one: one.name,
            "mean cosine": lambda one: f"{one.mean_cosine:.5f}",
            "lowest cosine": lambda one: f"{one.minimum_cosine:.5f}",
            "overlap@10": lambda one: f"{one.overlap:.3f}",
            "1-NN accuracy": lambda one: f"{one.nearest_accuracy:.1%}",
            "linear probe": lambda one: f"{one.linear_accuracy:.1%}",
        },
        lambda one: one.name in wrong,
    )


def cold_table(run: Run) -> Table:
    """Return fresh processes; factors are relative to the full TensorFlow path, or else to the first measured."""
    base: ColdStart | None = first_of(run.cold_starts, "tensorflow") or next(iter(run.cold_starts), None)
    if base is None:
        return Table("", (), ())
    return _table(
        f"From process start to the first feature; factors are relative to {base.name}",
        run.cold_starts,
        {
            "fresh process": lambda one: one.name,
            "s": lambda one: f"{median(one.seconds).median:.2f}",
            "95 % interval": lambda one: "{0.low:.2f} to {0.high:.2f}".format(median(one.seconds)),
            "faster": lambda one: times(ratio(base.seconds, one.seconds).median),
            "memory MB": lambda one: _megabytes(one.peak_memory_bytes),
            "smaller": lambda one: times(base.peak_memory_bytes / one.peak_memory_bytes),
            "installed MB": lambda one: _megabytes(one.installed_bytes),
            "smaller ": lambda one: times(base.installed_bytes / one.installed_bytes),
        },
    )


def bulk_table(run: Run) -> Table:
    """Return the speed on a whole folder."""
    return _table(
        "A whole folder, start of the process included",
        run.bulk,
        {
            "all cores": lambda one: one.name,
            "photos per second": lambda one: plain(per_second(one).median),
            "95 % interval": lambda one: interval(per_second(one)),
            "photos": lambda one: str(one.pictures),
            "memory MB": lambda one: _megabytes(one.peak_memory_bytes),
        },
    )


def cost_tables(run: Run) -> list[Table]:
    """Return one table for each axis: milliseconds per photo, a column for each size of the work."""
    found = []
    for axis in dict.fromkeys(cost.axis for cost in run.costs):
        costs = [cost for cost in run.costs if cost.axis == axis]
        medians = [{point.x: median(point.seconds).median * 1e3 for point in cost.points} for cost in costs]
        sizes = sorted({size for points in medians for size in points})
        rows = tuple(
            Row((cost.name, *(_optional(points.get(size)) for size in sizes)))
            for cost, points in zip(costs, medians, strict=True)
        )
        found.append(Table(f"Milliseconds per photo by {axis}", ("contender", *(f"{x:g}" for x in sizes)), rows))
    return found


def peak_rates(peak: Peak) -> tuple[float, float]:
    """Return billions of operations per second of the model and of the engine's matrix product."""
    model, product = median(peak.model_seconds).median, median(peak.product_seconds).median
    return peak.model_operations / model / 1e9, peak.product_operations / product / 1e9


def peak_table(run: Run) -> Table:
    """Return inference beside the same engine's matrix product."""
    return _table(
        "Inference and the engine's own matrix product",
        [(f"{peak.variant} {peak.engine}", *peak_rates(peak)) for peak in run.peaks],
        {
            "model": lambda one: one[0],
            "Gop/s": lambda one: plain(one[1]),
            "matrix product Gop/s": lambda one: plain(one[2]),
            "share": lambda one: f"{one[1] / one[2]:.0%}",
        },
    )


def peer_table(run: Run) -> Table:
    """Return edgefeat's speed-up over each peer on each kind of photos, with the peer's lowest cosine."""
    mine = ours(run)
    peers = [peer for peer in valid(run, "peer") if mine and any(series_of(peer, one.name) for one in run.photos)]

    def cell(photos: Photos) -> Callable[[Result], str]:
        def text(peer: Result) -> str:
            found = speedup(mine, peer, photos.name) if mine else None
            if found is None:
                return NOTHING
            verdict = "" if found.low > 1 else " slower" if found.high < 1 else " level"
            return f"{times(found.median)} ({times_interval(found)}){verdict}"

        return text

    columns: dict[str, Callable[[Result], str]] = {"peer": lambda peer: peer.contender.name}
    columns |= {photos.name: cell(photos) for photos in run.photos}
    columns["peer's lowest cosine"] = lambda peer: _optional(peer.minimum_cosine, "{:.4f}".format)
    return _table(f"Speed of {mine.contender.name if mine else ''} relative to each peer", peers, columns)


def excluded_table(run: Run) -> Table:
    """Return what is not compared, why, and the command that helps."""
    return _table(
        "Not compared",
        [result for result in run.results if _invalid(result)],
        {
            "contender": lambda one: one.contender.name,
            "status": status_of,
            "reason": lambda one: one.reason,
            "what to do": lambda one: one.remedy or NOTHING,
        },
    )


def versions_table(run: Run) -> Table:
    """Return the packages each contender ran on."""
    return _table(
        "Versions",
        [result for result in run.results if result.versions],
        {
            "contender": lambda one: one.contender.name,
            "packages": lambda one: ", ".join(f"{name} {version}" for name, version in sorted(one.versions.items())),
        },
    )


def all_tables(run: Run) -> list[Table]:
    """Return every table of a run that has rows, in reading order."""
    found = [
        peer_table(run),
        *(latency_table(run, photos) for photos in run.photos),
        *(stage_table(run, photos) for photos in run.photos),
        *(contender_table(run), cold_table(run), bulk_table(run), quality_table(run)),
        *cost_tables(run),
        *(peak_table(run), excluded_table(run), versions_table(run)),
    ]
    return [table for table in found if table.rows]


def terminal_table(run: Run) -> Table:
    """Return one row for each kind of photos and contender; contenders without a figure once, at the end."""
    timed = [(photos.name, one) for photos in run.photos for one in run.results if series_of(one, photos.name)]
    names = {one.contender.name for _, one in timed}
    rows = timed + [(NOTHING, one) for one in run.results if one.contender.name not in names]
    base = baseline(run)

    def spread(pair: tuple[str, Result], form: Callable[[Estimate], str]) -> str:
        return form(found) if (found := latency(pair[1], pair[0])) else NOTHING

    def factor(pair: tuple[str, Result]) -> str:
        return times(found.median) if (found := speedup(pair[1], base, pair[0])) else NOTHING

    return _table(
        "",
        rows,
        {
            "photos": lambda pair: pair[0],
            "contender": lambda pair: pair[1].contender.name,
            "ms": lambda pair: spread(pair, lambda found: plain(found.median * 1e3)),
            "95 % interval": lambda pair: spread(pair, lambda found: interval(found, 1e3)),
            "speed-up": factor,
            "cosine": lambda pair: _optional(pair[1].minimum_cosine, "{:.4f}".format),
            "start s": lambda pair: _optional(pair[1].start_seconds),
            "memory MB": lambda pair: _megabytes(pair[1].peak_memory_bytes),
            "": lambda pair: f"{status_of(pair[1]).upper()}: {pair[1].reason}" if _invalid(pair[1]) else "",
        },
    )


def summary_table(run: Run) -> Table:
    """Return the medians of edgefeat, the fastest peer and the full TensorFlow path, for a README."""
    mine, base = ours(run), baseline(run)
    shown = [photos for photos in run.photos if mine and latency(mine, photos.name)]

    def time(result: Result | None, photos: Photos, *, named: bool = False) -> str:
        spread = latency(result, photos.name) if result else None
        if result is None or spread is None:
            return NOTHING
        return milliseconds(spread.median) + (f" ({result.contender.name})" if named else "")

    def factor(photos: Photos) -> str:
        found = speedup(mine, base, photos.name) if mine else None
        return f"{times(found.median)} ({times_interval(found)})" if found else NOTHING

    peers = [best_peer(run, photos.name) for photos in shown]
    rows = [Row((mine.contender.name, *(time(mine, photos) for photos in shown)))] if mine else []
    if any(peers):
        cells = [time(peer, photos, named=True) for peer, photos in zip(peers, shown, strict=True)]
        rows.append(Row(("fastest peer", *cells)))
    if mine and base:
        rows.append(Row((base.contender.name, *(time(base, photos) for photos in shown))))
        rows.append(Row((f"speed-up over {base.contender.name}", *(factor(photos) for photos in shown))))
    return Table("", ("median per photo", *(photos.name for photos in shown)), tuple(rows))


def cold_summary_table(run: Run) -> Table:
    """Return the fresh processes of TensorFlow and edgefeat, for a README."""
    factors = cold_factors(run)
    pair = [first_of(run.cold_starts, side) for side in ("tensorflow", "edgefeat")] if factors else []
    rows = [
        Row(
            (
                one.name,
                f"{plain(median(one.seconds).median)} s",
                megabytes(one.peak_memory_bytes),
                megabytes(one.installed_bytes),
            )
        )
        for one in pair
        if one
    ]
    rows += [Row(("reduction", *map(times, factors.values())))] if factors else []
    return Table("", ("one photo, fresh process", "time", "memory", "installed"), tuple(rows))
