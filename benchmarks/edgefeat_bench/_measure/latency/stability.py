"""Whether a run can be trusted, or should be repeated on a quieter machine."""

from __future__ import annotations

import numpy as np

from edgefeat_bench._records import Result
from edgefeat_bench._statistics import median

# Halves of a run that differ by more, or an interval wider than this, each as a fraction of the median.
_DRIFT, _WIDE = 0.15, 0.25
# The share of the machine's cores that other programs may use.
_OTHERS = 0.1
_FEWEST = 8
_BUSY = "other programs"


def unstable(results: tuple[Result, ...], others: float | None, *, earlier: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return each reason to repeat the run. `others` is the share of the cores that other programs used.

    `earlier` are the reasons from before the run was resumed: that other programs were busy remains true.
    """
    found = [reason for reason in earlier if reason.startswith(_BUSY)]
    if others is not None and others > _OTHERS:
        found.append(f"{_BUSY} used {others:.0%} of the cores during the run: stop them and repeat the run")
    drifted, wide = [], []
    for result in results:
        for series in [one for one in result.series if len(one.seconds) >= _FEWEST]:
            estimate, halves = median(series.seconds), np.array_split(series.seconds, [len(series.seconds) // 2])
            before, after = (float(np.median(half)) for half in halves)
            if abs(after - before) > _DRIFT * estimate.median:
                drifted.append(f"{result.contender.name} on {series.photos}")
            if estimate.high - estimate.low > _WIDE * estimate.median:
                wide.append(f"{result.contender.name} on {series.photos}")
    if drifted:
        found.append(f"the first and the second half of the run differ by more than {_DRIFT:.0%}: {_some(drifted)}")
    if wide:
        found.append(
            f"the 95 % interval of the median is wider than {_WIDE:.0%} of it: {_some(wide)}; use more --rounds"
        )
    return tuple(found)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
