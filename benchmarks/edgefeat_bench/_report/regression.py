"""Whether edgefeat got worse: ratios of one run compared with the same ratios of an older one.

Times are never compared: a machine is faster today than yesterday, and TensorFlow is as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from edgefeat import ArgumentError
from edgefeat_bench._records import Bulk, Run
from edgefeat_bench._report.comparison import same_machine
from edgefeat_bench._report.findings import PREDICT, first_of, per_second, speedup, valid
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
    if old.method != new.method:
        raise ArgumentError(
            f"the runs were measured by methods {old.method} and {new.method}: other projects are run differently, "
            "so ratios to them differ; measure the older edgefeat again with: edgefeat-bench run"
        )
    limits = dict.fromkeys(("lowest cosine", *_QUALITIES), fidelity)
    checks = [*_lost(old, new), *_compared(old, new, tolerance, limits)]
    if all(one.verdict == "not compared" for one in checks):
        raise ArgumentError("the two runs have no figure of edgefeat in common (expected: the same contenders in both)")
    return checks


def _lost(old: Run, new: Run) -> Iterator[Check]:
    """Give the contenders that were valid and now are not, or were not run."""
    after = {result.contender.name: result for result in new.results}
    for name in [one.contender.name for one in valid(old, "edgefeat")]:
        now = after.get(name)
        if now is None:
            yield Check("speed", name, "", None, None, "not compared", "not in the new run")
        elif now.status != "ok":
            yield Check("right features", name, "", None, None, "fell", f"{now.status}: {now.reason}")


def _compared(old: Run, new: Run, tolerance: float, limits: Mapping[str, float]) -> Iterator[Check]:
    """Compare every figure of both runs: by what it may lose at most if `limits` has it, otherwise as a ratio."""
    base = _base(old, new)
    before, after = _figures(old, base), _figures(new, base)
    both = {one.contender.name for one in valid(new)}
    for (measure, name, where), was in before.items():
        now = after.get((measure, name, where))
        if now is None:
            if measure == "speed" and name in both:
                yield Check(measure, name, where, was, None, "not compared", "not timed in the new run")
            continue
        why = _incomparable(old, new, measure, was, now) or _other_photos(old, new, where)
        if why is not None:
            yield Check(measure.replace("_", " "), name, where, was, now, "not compared", why)
            continue
        if measure in limits:
            fell, change = now.median < was.median - limits[measure], f"{now.median - was.median:+.4f}"
        else:
            fell = now.median < was.median * (1 - tolerance) and now.high < was.low
            change = f"{now.median / was.median - 1:+.0%}"
        yield Check(measure.replace("_", " "), name, where, was, now, "fell" if fell else "kept", change)


def _incomparable(old: Run, new: Run, measure: str, was: Estimate, now: Estimate) -> str | None:
    """Return why a figure of two runs cannot be compared, or None if it can."""
    starts = [first_of(run.cold_starts, "tensorflow") for run in (old, new)]
    apart = {
        "memory": old.isolated != new.isolated,
        "cold start": len({one.isolated for one in starts if one}) > 1,
    }
    if apart.get(measure) or (measure == "cold start's memory" and apart["cold start"]):
        return "TensorFlow's process imported other packages in one of them"
    if measure == "photos per second" and min(was.count, now.count) < 2:
        return "measured once"
    return None


def _other_photos(old: Run, new: Run, where: str) -> str | None:
    """Return why a figure on photos of one kind cannot be compared, or None if both runs had the same files."""
    files = [{one.name: one.files for one in run.photos}.get(where) for run in (old, new)]
    return None if files[0] == files[1] else "other photos"


def _base(old: Run, new: Run) -> str:
    """Return what ratios are relative to: a contender valid in both, `model.predict` if possible, else a peer."""
    names = {result.contender.name for result in valid(new)}
    order = {"tensorflow": 1, "peer": 2}
    both = [one.contender for one in valid(old) if one.contender.name in names and one.contender.side in order]
    if not both:
        raise ArgumentError("only edgefeat's contenders are valid in both runs: ratios need TensorFlow or a peer")
    return min(both, key=lambda one: 0 if one.kind == PREDICT else order[one.side]).name


def _figures(run: Run, base: str) -> dict[tuple[str, str, str], Estimate]:
    """Return edgefeat's figures by measure, name and photos: ratios are to `base`, greater is better."""
    found: dict[tuple[str, str, str], Estimate] = {}
    reference = next(one for one in run.results if one.contender.name == base)
    for one in valid(run, "edgefeat"):
        name = one.contender.name
        for photos in run.photos:
            if factor := speedup(one, reference, photos.name):
                found["speed", name, photos.name] = factor
        if one.peak_memory_bytes and reference.peak_memory_bytes:
            found["memory", name, ""] = _exact(reference.peak_memory_bytes / one.peak_memory_bytes)
        if one.minimum_cosine is not None:
            found["lowest cosine", name, ""] = _exact(one.minimum_cosine)
    if start := first_of(run.cold_starts, "tensorflow"):
        for cold in [one for one in run.cold_starts if one.side == "edgefeat"]:
            found["cold start", cold.name, ""] = ratio(start.seconds, cold.seconds)
            found["cold start's memory", cold.name, ""] = _exact(start.peak_memory_bytes / cold.peak_memory_bytes)
            found["installed size", cold.name, ""] = _exact(start.installed_bytes / cold.installed_bytes)
    if folder := first_of(run.bulk, "tensorflow"):
        for bulk in [one for one in run.bulk if one.side == "edgefeat"]:
            found["photos per second", bulk.name, ""] = _bulk_ratio(bulk, folder)
    for quality in [one for one in run.quality if one.side == "edgefeat"]:
        labelled = f"{quality.photos} photos of {quality.classes} classes"
        found |= {(field, quality.name, labelled): _exact(getattr(quality, field)) for field in _QUALITIES}
    return found


def _exact(value: float) -> Estimate:
    return Estimate(value, value, value, 1)


def _bulk_ratio(one: Bulk, base: Bulk) -> Estimate:
    """Return the ratio of photos per second; the two may have had folders of different sizes."""
    if len(one.seconds) == len(base.seconds):
        scale = one.pictures / base.pictures
        return median([scale * theirs / mine for mine, theirs in zip(one.seconds, base.seconds, strict=True)])
    mine, theirs = per_second(one), per_second(base)
    return Estimate(mine.median / theirs.median, mine.low / theirs.high, mine.high / theirs.low, mine.count)
