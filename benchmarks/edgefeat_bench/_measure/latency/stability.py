"""Whether a run can be trusted, or should be repeated on a quieter machine."""

from __future__ import annotations

import numpy as np

from edgefeat_bench._contenders.registry import COMMAND
from edgefeat_bench._records import Result, Series
from edgefeat_bench._statistics import median

# Halves of a run that differ by more, or an interval wider than this, each as a fraction of the median.
_DRIFT, _WIDE = 0.15, 0.25
# The share of the machine's cores that other programs may use.
_OTHERS = 0.1
_FEWEST = 8
# So many steady contenders show that the machine was steady, if one project is not.
_STEADY = 7
_BUSY = "other programs"


def unstable(results: tuple[Result, ...], others: float | None, *, earlier: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return each reason to repeat the run. `others` is the share of the cores that other programs used.

    `earlier` are the reasons from before the run was resumed: that other programs were busy remains true.
    """
    found = [reason for reason in earlier if reason.startswith(_BUSY)]
    if others is not None and others > _OTHERS:
        found.append(f"{_BUSY} used {others:.0%} of the cores during the run: stop them and repeat the run")
    if unsteady_alone(results):
        return tuple(found)
    series = [(f"{one.contender.name} on {each.photos}", each) for one in results for each in one.series]
    drifted, wide = ([name for name, each in series if varies(each)] for varies in (_has_drifted, _is_wide))
    if drifted:
        found.append(f"the first and the second half of the run differ by more than {_DRIFT:.0%}: {_some(drifted)}")
    if wide:
        found.append(
            f"the 95 % interval of the median is wider than {_WIDE:.0%} of it: {_some(wide)}; use more --rounds"
        )
    return tuple(found)


def unsteady_alone(results: tuple[Result, ...]) -> list[str]:
    """Return on which photos the times of one other project vary while all other contenders are steady.

    Contenders are called in turn, so a machine that is not steady shows in all of them. Some programs have two speeds
    and take one of them by chance: more rounds do not help. edgefeat itself must be steady, as all speed-ups are its.
    """
    varying = [one for one in results if any(_varies(each) for each in one.series)]
    steady = [one for one in results if any(each.seconds for each in one.series) and one not in varying]
    projects = {_project(one) for one in varying}
    if len(projects) != 1 or "edgefeat" in projects or len(steady) < _STEADY:
        return []
    return [f"{one.contender.name} on {each.photos}" for one in varying for each in one.series if _varies(each)]


def _project(result: Result) -> str:
    """Return what a contender's times depend on beside the machine: a peer's own program, TensorFlow, or edgefeat."""
    contender = result.contender
    if contender.kind == COMMAND:  # each is a program of the user's
        return contender.name
    return contender.kind if contender.side == "peer" else contender.side


def _varies(series: Series) -> bool:
    return _has_drifted(series) or _is_wide(series)


def _has_drifted(series: Series) -> bool:
    if len(series.seconds) < _FEWEST:
        return False
    before, after = np.array_split(series.seconds, [len(series.seconds) // 2])
    return bool(abs(np.median(after) - np.median(before)) > _DRIFT * np.median(series.seconds))


def _is_wide(series: Series) -> bool:
    estimate = median(series.seconds) if len(series.seconds) >= _FEWEST else None
    return estimate is not None and estimate.high - estimate.low > _WIDE * estimate.median


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
