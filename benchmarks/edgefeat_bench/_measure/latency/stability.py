"""Whether a run can be believed, or should be repeated on a quieter machine."""

from __future__ import annotations

import numpy as np

from edgefeat_bench._records import Result
from edgefeat_bench._statistics import median

__all__ = ["unstable"]

# Halves of a run that differ by more, or an interval wider than this, each as a fraction of the median.
_DRIFT, _WIDE = 0.15, 0.25
# The share of the machine's cores that others may take.
_OTHERS = 0.1
_FEWEST = 8
_BUSY = "other programs"


def unstable(results: tuple[Result, ...], others: float | None, *, earlier: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A sentence for each reason to repeat the run. `others` is the share of the cores that other programs took.

    `earlier` is what was said of the same run before it was gone on with: that others worked meanwhile stays true.
    """
    found = [reason for reason in earlier if reason.startswith(_BUSY)]
    if others is not None and others > _OTHERS:
        found.append(f"{_BUSY} took {others:.0%} of the cores while it ran: end them and repeat the run")
    drifted, wide = [], []
    for result in results:
        for series in result.series:
            if len(series.seconds) < _FEWEST:
                continue
            samples = np.asarray(series.seconds)
            half = len(samples) // 2
            before, after = float(np.median(samples[:half])), float(np.median(samples[half:]))
            estimate = median(series.seconds)
            if abs(after - before) > _DRIFT * estimate.median:
                drifted.append(f"{result.contender.name} on {series.photos}")
            if estimate.high - estimate.low > _WIDE * estimate.median:
                wide.append(f"{result.contender.name} on {series.photos}")
    if drifted:
        found.append(f"the first half of the run and the second differ by more than {_DRIFT:.0%}: {_some(drifted)}")
    if wide:
        found.append(
            f"the 95 % interval of the median is wider than {_WIDE:.0%} of it: {_some(wide)}; take more rounds"
        )
    return tuple(found)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
