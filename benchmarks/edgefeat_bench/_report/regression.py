"""Whether edgefeat fell behind what it was: ratios of one run held against the same ratios of an older one.

Times are never compared: a machine is quicker today than yesterday, and the full TensorFlow path feels that as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edgefeat import ArgumentError
from edgefeat_bench._records import Bulk, ColdStart, Quality, Result, Run
from edgefeat_bench._report.comparison import like
from edgefeat_bench._report.findings import PREDICT, kept, latency, of_side, per_second, series_of, times_as_fast
from edgefeat_bench._statistics import Estimate, median, ratio

__all__ = ["Held", "gate"]

_QUALITIES = ("mean_cosine", "minimum_cosine", "overlap", "nearest_accuracy", "linear_accuracy")


@dataclass(frozen=True, slots=True)
class Held:
    """One figure of both runs, greater is better. It `fell` only beyond the tolerance and with the intervals apart."""

    measure: str
    name: str
    where: str
    old: Estimate | None
    new: Estimate | None
    verdict: Literal["kept", "fell", "not compared"]
    reason: str


@dataclass(frozen=True, slots=True)
class _Tolerance:
    ratios: float
    fidelity: float

    def ratio(self, measure: str, name: str, where: str, old: Estimate, new: Estimate) -> Held:
        fell = new.median < old.median * (1 - self.ratios) and new.high < old.low
        change = f"{new.median / old.median - 1:+.0%}"
        return Held(measure, name, where, old, new, "fell" if fell else "kept", change)

    def fixed(self, measure: str, name: str, old: float, new: float) -> Held:
        """A share or cosine: what counts is the difference."""
        fell = new < old - self.fidelity
        return Held(measure, name, "", _exactly(old), _exactly(new), "fell" if fell else "kept", f"{new - old:+.4f}")


def gate(old: Run, new: Run, *, tolerance: float, fidelity: float, unlike_machines: bool = False) -> list[Held]:
    """Every figure of edgefeat's that both runs have: those that fell, and those that did not.

    `tolerance` is the share of a ratio that may be lost, `fidelity` how much of a cosine, an overlap or an accuracy.
    Raises ArgumentError for runs of unlike machines, unless `unlike_machines`, networks or threads.
    """
    _refuse_unlike(old, new, unlike_machines)
    ruler = _ruler(old, new)
    allowed = _Tolerance(tolerance, fidelity)
    held = [*_contenders(old, new, ruler, allowed), *_cold(old, new, allowed), *_bulk(old, new, allowed)]
    held += _qualities(old, new, allowed)
    if not any(one.verdict != "not compared" for one in held):
        raise ArgumentError("the two runs have no figure of edgefeat's in common: run both with the same contenders")
    return held


def _refuse_unlike(old: Run, new: Run, unlike_machines: bool) -> None:
    if not unlike_machines and not like(old.machine, new.machine):
        raise ArgumentError(
            f"unlike machines: {old.machine.cores} cores of {old.machine.processor} and {new.machine.cores} of "
            f"{new.machine.processor}; ratios differ between machines (--unlike-machines compares them all the same)"
        )
    if (old.network, old.threads) != (new.network, new.threads):
        raise ArgumentError(
            f"unlike runs: {old.network}, threads {old.threads}, and {new.network}, threads {new.threads} "
            "(allowed: two of the same network and threads)"
        )


def _ruler(old: Run, new: Run) -> str:
    """What ratios are to: a contender that ran rightly in both runs, TensorFlow's `predict` if it did, else a peer."""
    names = {result.contender.name for result in kept(new)}
    found = [result.contender for result in kept(old) if result.contender.name in names]
    order = {"tensorflow": 1, "peer": 2}
    rulers = [one for one in found if one.side in order]
    if not rulers:
        raise ArgumentError("no contender but edgefeat's ran in both: there is nothing to take ratios to")
    return min(rulers, key=lambda one: 0 if one.kind == PREDICT else order[one.side]).name


def _contenders(old: Run, new: Run, ruler: str, allowed: _Tolerance) -> Iterator[Held]:
    before, after = _by_name(old.results), _by_name(new.results)
    for name, was in before.items():
        if was.contender.side != "edgefeat" or was.status != "ok":
            continue
        now = after.get(name)
        if now is None:
            yield Held("speed", name, "", None, None, "not compared", "not in the new run")
        elif now.status != "ok":
            yield Held("right features", name, "", None, None, "fell", f"{now.status}: {now.reason}")
        else:
            yield from _contender(was, now, before[ruler], after[ruler], allowed)


def _contender(was: Result, now: Result, ruler: Result, new_ruler: Result, allowed: _Tolerance) -> Iterator[Held]:
    name = was.contender.name
    for series in was.series:
        photos = series.photos
        if latency(was, photos) is None:
            continue
        fast, faster = times_as_fast(was, ruler, photos), times_as_fast(now, new_ruler, photos)
        if fast and faster:
            yield allowed.ratio("speed", name, photos, fast, faster)
        elif series_of(now, photos) is None:
            yield Held("speed", name, photos, fast, None, "not compared", "not timed in the new run")
    sizes = (ruler.peak_memory_bytes, was.peak_memory_bytes, new_ruler.peak_memory_bytes, now.peak_memory_bytes)
    if all(sizes):
        first, second, third, fourth = (size or 0 for size in sizes)
        yield allowed.ratio("memory", name, "", _exactly(first / second), _exactly(third / fourth))
    if was.minimum_cosine is not None and now.minimum_cosine is not None:
        yield allowed.fixed("least cosine", name, was.minimum_cosine, now.minimum_cosine)


def _cold(old: Run, new: Run, allowed: _Tolerance) -> Iterator[Held]:
    base, new_base = of_side(old.cold_starts, "tensorflow"), of_side(new.cold_starts, "tensorflow")
    after = {one.name: one for one in new.cold_starts}
    for was in old.cold_starts:
        now = after.get(was.name)
        if was.side != "edgefeat" or base is None or new_base is None or now is None:
            continue
        speeds = [ratio(first.seconds, one.seconds) for first, one in ((base, was), (new_base, now))]
        yield allowed.ratio("cold start", was.name, "", *speeds)
        for measure, sizes in (("cold start's memory", _peaks), ("installed size", _installs)):
            (first, one), (second, other) = sizes(base, was), sizes(new_base, now)
            yield allowed.ratio(measure, was.name, "", _exactly(first / one), _exactly(second / other))


def _peaks(base: ColdStart, one: ColdStart) -> tuple[int, int]:
    return base.peak_memory_bytes, one.peak_memory_bytes


def _installs(base: ColdStart, one: ColdStart) -> tuple[int, int]:
    return base.installed_bytes, one.installed_bytes


def _bulk(old: Run, new: Run, allowed: _Tolerance) -> Iterator[Held]:
    base, new_base = of_side(old.bulk, "tensorflow"), of_side(new.bulk, "tensorflow")
    after = {one.name: one for one in new.bulk}
    for was in old.bulk:
        now = after.get(was.name)
        if was.side == "edgefeat" and base and new_base and now:
            yield allowed.ratio("pictures a second", was.name, "", _bulk_ratio(was, base), _bulk_ratio(now, new_base))


def _bulk_ratio(one: Bulk, base: Bulk) -> Estimate:
    """Of pictures a second; the two may have had folders of different sizes."""
    if len(one.seconds) == len(base.seconds):
        scale = one.pictures / base.pictures
        return median([scale * theirs / mine for mine, theirs in zip(one.seconds, base.seconds, strict=True)])
    mine, theirs = per_second(one), per_second(base)
    return Estimate(mine.median / theirs.median, mine.low / theirs.high, mine.high / theirs.low, mine.count)


def _qualities(old: Run, new: Run, allowed: _Tolerance) -> Iterator[Held]:
    after = {quality.name: quality for quality in new.quality}
    for was in old.quality:
        now = after.get(was.name)
        if was.side != "edgefeat" or now is None or (was.photos, was.classes) != (now.photos, now.classes):
            continue
        for field in _QUALITIES:
            yield allowed.fixed(field.replace("_", " "), was.name, _value(was, field), _value(now, field))


def _value(quality: Quality, field: str) -> float:
    return float(getattr(quality, field))


def _by_name(results: Sequence[Result]) -> dict[str, Result]:
    return {result.contender.name: result for result in results}


def _exactly(value: float) -> Estimate:
    return Estimate(value, value, value, 1)
