"""What tables, plots, sentences, comparison and gate derive from a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from edgefeat_bench._records import Bulk, ColdStart, Quality, Result, Run, Series
from edgefeat_bench._statistics import Estimate, median, ratio

#: The kind of contender that is edgefeat's default: what `edgefeat tune` chose.
TUNED = "edgefeat-tuned"
#: The kind that is the full TensorFlow path as most people write it.
PREDICT = "keras-predict"

_Measured = TypeVar("_Measured", ColdStart, Bulk)


def valid(run: Run, side: str | None = None) -> list[Result]:
    """Return the contenders that can be compared: correct features, and no crash."""
    return [result for result in run.results if result.status == "ok" and side in (None, result.contender.side)]


def series_of(result: Result, photos: str) -> Series | None:
    """Return a contender's samples on the photos of that name, or None if it has none."""
    return next((series for series in result.series if series.photos == photos and series.seconds), None)


def latency(result: Result, photos: str) -> Estimate | None:
    """Return the seconds from photo to feature."""
    series = series_of(result, photos)
    return median(series.seconds) if series else None


def speedup(result: Result, other: Result | None, photos: str) -> Estimate | None:
    """Return the speed of `result` relative to `other`: the median of the ratios within each turn."""
    series, others = series_of(result, photos), series_of(other, photos) if other else None
    return ratio(others.seconds, series.seconds) if series and others else None


def baseline(run: Run) -> Result | None:
    """Return what speed-ups are relative to: `model.predict`, or else the first other TensorFlow contender."""
    theirs = valid(run, "tensorflow")
    return next((result for result in theirs if result.contender.kind == PREDICT), theirs[0] if theirs else None)


def ours(run: Run) -> Result | None:
    """Return edgefeat's tuned default, or else its fastest contender on the first photos."""
    mine = valid(run, "edgefeat")
    return next((one for one in mine if one.contender.kind == TUNED), _fastest(mine, run.photos[0].name))


def best_peer(run: Run, photos: str) -> Result | None:
    """Return the fastest contender of another project on these photos."""
    return _fastest(valid(run, "peer"), photos)


def _fastest(results: Sequence[Result], photos: str) -> Result | None:
    timed = [(spread.median, index) for index, one in enumerate(results) if (spread := latency(one, photos))]
    return results[min(timed)[1]] if timed else None


def own_variants(run: Run) -> list[Result]:
    """Return edgefeat's contenders beside its default, if there are more than two: they get plots of their own."""
    default = ours(run)
    own = [result for result in run.results if result.contender.side == "edgefeat" and result is not default]
    return own if len(own) > 2 else []


def first_of(measured: Sequence[_Measured], side: str) -> _Measured | None:
    """Return the first of `measured` that belongs to that side."""
    return next((one for one in measured if one.side == side), None)


def cold_factors(run: Run) -> dict[str, float]:
    """Return how much less time, memory and disk edgefeat's fresh process takes than TensorFlow's."""
    theirs, mine = first_of(run.cold_starts, "tensorflow"), first_of(run.cold_starts, "edgefeat")
    if theirs is None or mine is None:
        return {}
    return {
        "time": ratio(theirs.seconds, mine.seconds).median,
        "memory": theirs.peak_memory_bytes / mine.peak_memory_bytes,
        "installed": theirs.installed_bytes / mine.installed_bytes,
    }


def quality_of(run: Run, result: Result) -> Quality | None:
    """Return the feature quality measured on labelled photos.

    The tuned default has that of the variant it chose, recognized by its size and lowest cosine.
    """
    by_name = {quality.name: quality for quality in run.quality}
    if result.contender.name in by_name or result.contender.kind != TUNED:
        return by_name.get(result.contender.name)
    same = [one for one in run.results if one.contender.side == "edgefeat" and _model(one) == _model(result)]
    return next((by_name[one.contender.name] for one in same if one.contender.name in by_name), None)


def _model(result: Result) -> tuple[int | None, float | None]:
    return result.model_bytes, result.minimum_cosine


def per_second(bulk: Bulk) -> Estimate:
    """Return the photos per second."""
    return median([bulk.pictures / seconds for seconds in bulk.seconds])
