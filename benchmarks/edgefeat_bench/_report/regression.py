"""Whether edgefeat got worse: ratios of one run compared with the same ratios of an older one.

Times are never compared: a machine is faster today than yesterday, and TensorFlow is as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgefeat import ArgumentError
from edgefeat_bench._records import Bulk, Result, Run
from edgefeat_bench._report.comparison import same_machine
from edgefeat_bench._report.findings import PREDICT, first_of, latency, per_second, series_of, speedup, valid
from edgefeat_bench._statistics import Estimate, median, ratio

_QUALITIES = ("mean_cosine", "minimum_cosine", "overlap", "nearest_accuracy", "linear_accuracy")


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of both runs, greater is better. It `fell` only beyond the tolerance and with separate intervals."""

    measure: str
    name: str
    where: str
    old: Estimate | None
    new: Estimate | None
    verdict: Literal["kept", "fell", "not compared"]
    reason: str


@dataclass(frozen=True, slots=True)
class _Tolerance:
    """The share of a ratio that may be lost, and how much a cosine, an overlap or an accuracy may lose."""

    ratios: float
    fidelity: float

    def ratio(self, measure: str, name: str, old: Estimate | float, new: Estimate | float, where: str = "") -> Check:
        old, new = _estimate(old), _estimate(new)
        fell = new.median < old.median * (1 - self.ratios) and new.high < old.low
        return Check(measure, name, where, old, new, "fell" if fell else "kept", f"{new.median / old.median - 1:+.0%}")

    def difference(self, measure: str, name: str, old: float, new: float) -> Check:
        fell = new < old - self.fidelity
        change = f"{new - old:+.4f}"
        return Check(measure, name, "", _estimate(old), _estimate(new), "fell" if fell else "kept", change)


def _estimate(value: Estimate | float) -> Estimate:
    return value if isinstance(value, Estimate) else Estimate(value, value, value, 1)


def gate(old: Run, new: Run, *, tolerance: float, fidelity: float, unlike_machines: bool = False) -> list[Check]:
    """Return every figure of edgefeat's that both runs have: those that fell, and those that did not.

    `tolerance` and `fidelity` are how much may be lost, of a ratio and of a cosine or accuracy. Raises ArgumentError
    for runs of different machines, unless `unlike_machines`, and of different networks or threads.
    """
    machines = [f"{run.machine.cores} cores of {run.machine.processor}" for run in (old, new)]
    if not unlike_machines and not same_machine(old.machine, new.machine):
        raise ArgumentError(
            f"different machines: {' and '.join(machines)}; ratios differ between machines "
            "(--unlike-machines compares them anyway)"
        )
    if (old.network, old.threads) != (new.network, new.threads):
        each = [f"{run.network}, threads {run.threads}" for run in (old, new)]
        raise ArgumentError(f"different runs: {' and '.join(each)} (allowed: two of the same network and threads)")
    allowed = _Tolerance(tolerance, fidelity)
    checks = [*_contenders(old, new, allowed), *_processes(old, new, allowed), *_qualities(old, new, allowed)]
    if all(one.verdict == "not compared" for one in checks):
        raise ArgumentError("the two runs have no figure of edgefeat in common (expected: the same contenders in both)")
    return checks


def _base(old: Run, new: Run) -> str:
    """Return what ratios are relative to: a contender valid in both, `model.predict` if possible, else a peer."""
    names = {result.contender.name for result in valid(new)}
    order = {"tensorflow": 1, "peer": 2}
    both = [one.contender for one in valid(old) if one.contender.name in names and one.contender.side in order]
    if not both:
        raise ArgumentError("only edgefeat's contenders are valid in both runs: ratios need TensorFlow or a peer")
    return min(both, key=lambda one: 0 if one.kind == PREDICT else order[one.side]).name


def _contenders(old: Run, new: Run, allowed: _Tolerance) -> Iterator[Check]:
    before, after = ({result.contender.name: result for result in run.results} for run in (old, new))
    base = _base(old, new)
    for was in valid(old, "edgefeat"):
        name, now = was.contender.name, after.get(was.contender.name)
        if now is None:
            yield Check("speed", name, "", None, None, "not compared", "not in the new run")
        elif now.status != "ok":
            yield Check("right features", name, "", None, None, "fell", f"{now.status}: {now.reason}")
        else:
            yield from _contender(was, now, before[base], after[base], allowed)


def _contender(was: Result, now: Result, base: Result, new_base: Result, allowed: _Tolerance) -> Iterator[Check]:
    name = was.contender.name
    for photos in [series.photos for series in was.series if latency(was, series.photos)]:
        before, after = speedup(was, base, photos), speedup(now, new_base, photos)
        if before and after:
            yield allowed.ratio("speed", name, before, after, photos)
        elif series_of(now, photos) is None:
            yield Check("speed", name, photos, before, None, "not compared", "not timed in the new run")
    shares = [
        first.peak_memory_bytes / second.peak_memory_bytes
        for first, second in ((base, was), (new_base, now))
        if first.peak_memory_bytes and second.peak_memory_bytes
    ]
    if len(shares) == 2:
        yield allowed.ratio("memory", name, shares[0], shares[1])
    if was.minimum_cosine is not None and now.minimum_cosine is not None:
        yield allowed.difference("lowest cosine", name, was.minimum_cosine, now.minimum_cosine)


def _processes(old: Run, new: Run, allowed: _Tolerance) -> Iterator[Check]:
    """Compare whole programs: new processes, and a folder at once."""
    base, new_base = first_of(old.cold_starts, "tensorflow"), first_of(new.cold_starts, "tensorflow")
    for was in old.cold_starts:
        now = next((one for one in new.cold_starts if one.name == was.name), None)
        if was.side == "edgefeat" and now and base and new_base:
            speeds = ratio(base.seconds, was.seconds), ratio(new_base.seconds, now.seconds)
            yield allowed.ratio("cold start", was.name, *speeds)
            for measure, field in (("cold start's memory", "peak_memory_bytes"), ("installed size", "installed_bytes")):
                before, after = (
                    getattr(first, field) / getattr(one, field) for first, one in ((base, was), (new_base, now))
                )
                yield allowed.ratio(measure, was.name, before, after)
    first, second = first_of(old.bulk, "tensorflow"), first_of(new.bulk, "tensorflow")
    for earlier in old.bulk:
        later = next((one for one in new.bulk if one.name == earlier.name), None)
        if earlier.side == "edgefeat" and later and first and second:
            rates = _bulk_ratio(earlier, first), _bulk_ratio(later, second)
            yield allowed.ratio("photos per second", earlier.name, *rates)


def _bulk_ratio(one: Bulk, base: Bulk) -> Estimate:
    """Return the ratio of photos per second; the two may have had folders of different sizes."""
    if len(one.seconds) == len(base.seconds):
        scale = one.pictures / base.pictures
        return median([scale * theirs / mine for mine, theirs in zip(one.seconds, base.seconds, strict=True)])
    mine, theirs = per_second(one), per_second(base)
    return Estimate(mine.median / theirs.median, mine.low / theirs.high, mine.high / theirs.low, mine.count)


def _qualities(old: Run, new: Run, allowed: _Tolerance) -> Iterator[Check]:
    after = {(one.name, one.photos, one.classes): one for one in new.quality}
    for was in old.quality:
        now = after.get((was.name, was.photos, was.classes))
        if was.side == "edgefeat" and now:
            for field in _QUALITIES:
                yield allowed.difference(field.replace("_", " "), was.name, getattr(was, field), getattr(now, field))
