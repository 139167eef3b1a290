"""What a run says, question by question: the derived figures that tables, page, comparison and gate share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from edgefeat_bench._records import Bulk, ColdStart, Quality, Result, Run, Series
from edgefeat_bench._statistics import Estimate, median, ratio

__all__ = [
    "PREDICT",
    "TUNED",
    "baseline",
    "best_peer",
    "cold_pair",
    "kept",
    "latency",
    "of_side",
    "ours",
    "own_variants",
    "per_second",
    "quality_of",
    "series_of",
    "shown_first",
    "times_as_fast",
]

#: The kind of contender that is edgefeat as it comes: what `edgefeat tune` chose.
TUNED = "edgefeat-tuned"
#: The kind that is the full TensorFlow path as most people write it.
PREDICT = "keras-predict"
_AMONG_OTHERS = 2

T = TypeVar("T", ColdStart, Bulk)


def kept(run: Run) -> list[Result]:
    """The contenders whose figures may be compared: right features, and alive to the end."""
    return [result for result in run.results if result.status == "ok"]


def baseline(run: Run) -> Result | None:
    """The full TensorFlow path that ratios are to: `model.predict`, else the first other of TensorFlow's that ran."""
    theirs = [result for result in kept(run) if result.contender.side == "tensorflow"]
    return next((result for result in theirs if result.contender.kind == PREDICT), theirs[0] if theirs else None)


def shown_first(run: Run) -> list[Result]:
    """All but edgefeat's own variants, where these are enough for plots of their own; its default stays."""
    own = own_variants(run)
    return [result for result in run.results if result not in own]


def own_variants(run: Run) -> list[Result]:
    """edgefeat's contenders beside its default; empty where they are so few that they can stand among the others."""
    default = ours(run)
    own = [result for result in run.results if result.contender.side == "edgefeat" and result is not default]
    return own if len(own) > _AMONG_OTHERS else []


def series_of(result: Result, photos: str) -> Series | None:
    """A contender's samples on the photos of that name, or None where it has none."""
    return next((series for series in result.series if series.photos == photos and series.seconds), None)


def latency(result: Result, photos: str) -> Estimate | None:
    """Seconds from photo to feature."""
    series = series_of(result, photos)
    return median(series.seconds) if series else None


def times_as_fast(result: Result, other: Result | None, photos: str) -> Estimate | None:
    """How many times as fast `result` is as `other`: the median of the ratios within each turn."""
    series, others = series_of(result, photos), series_of(other, photos) if other else None
    return ratio(others.seconds, series.seconds) if series and others else None


def ours(run: Run) -> Result | None:
    """edgefeat at its tuned default; where that was not run, the edgefeat contender quickest on the first photos."""
    mine = [result for result in kept(run) if result.contender.side == "edgefeat"]
    tuned = [result for result in mine if result.contender.kind == TUNED]
    return next(iter(tuned or _quickest(mine, run.photos[0].name)), None)


def best_peer(run: Run, photos: str) -> Result | None:
    """The quickest contender of another project on these photos."""
    peers = [result for result in kept(run) if result.contender.side == "peer"]
    return next(iter(_quickest(peers, photos)), None)


def _quickest(results: Sequence[Result], photos: str) -> list[Result]:
    timed = [(median(series.seconds).median, result) for result in results if (series := series_of(result, photos))]
    return [result for _, result in sorted(timed, key=lambda pair: pair[0])]


def cold_pair(run: Run) -> tuple[ColdStart, ColdStart] | None:
    """The cold start of the full TensorFlow path and edgefeat's, the first of each."""
    theirs, mine = of_side(run.cold_starts, "tensorflow"), of_side(run.cold_starts, "edgefeat")
    return (theirs, mine) if theirs and mine else None


def of_side(measured: Sequence[T], side: str) -> T | None:
    """The first of `measured` that belongs to that side."""
    return next((one for one in measured if one.side == side), None)


def quality_of(run: Run, result: Result) -> Quality | None:
    """How good a contender's features are on labelled photos, where that was measured.

    A default that is one of edgefeat's variants, by its size and its worst photo, has that one's.
    """
    by_name = {quality.name: quality for quality in run.quality}
    if result.contender.name in by_name or result.contender.kind != TUNED:
        return by_name.get(result.contender.name)
    twins = (
        by_name.get(other.contender.name)
        for other in run.results
        if other.contender.side == "edgefeat"
        and (other.model_bytes, other.minimum_cosine) == (result.model_bytes, result.minimum_cosine)
    )
    return next(filter(None, twins), None)


def per_second(bulk: Bulk) -> Estimate:
    """Pictures a second."""
    return median([bulk.pictures / seconds for seconds in bulk.seconds])
