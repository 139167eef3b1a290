"""Medians with their spread, and ratios computed pair by pair."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["FEWEST", "Estimate", "median", "quantile", "ratio"]

#: Below this many samples no interval of theirs holds the median with 95 % confidence: 2 * 0.5**6 < 0.05.
FEWEST = 6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median of `count` samples and its 95 % interval; of fewer than `FEWEST` samples their whole range."""

    median: float
    low: float
    high: float
    count: int


def median(samples: Sequence[float]) -> Estimate:
    """The median of `samples`, at least one, and its exact interval.

    The interval runs from one sorted sample to another (Conover, Practical Nonparametric Statistics, 3.2): right for
    any distribution, and the same figures whenever it is computed, which a bootstrap's are not.
    """
    return _median(tuple(samples))


@functools.lru_cache(maxsize=8192)
def _median(samples: tuple[float, ...]) -> Estimate:
    # Kept, because tables, plots and sentences ask for the same ones.
    from scipy import stats  # 0.5 s: only for those who ask for statistics

    values = np.asarray(samples, np.float64)
    low, high = float(values.min()), float(values.max())
    if len(values) >= FEWEST:
        interval = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
        low, high = float(interval.low), float(interval.high)
    return Estimate(float(np.median(values)), low, high, len(values))


def ratio(samples: Sequence[float], others: Sequence[float]) -> Estimate:
    """The median of `samples[i] / others[i]`: what was measured in the same turn is divided.

    Where one contender stopped before the other, the turns both had are compared; at least one.
    """
    count = min(len(samples), len(others))
    return median((np.asarray(samples[:count]) / np.asarray(others[:count])).tolist())


def quantile(samples: Sequence[float], share: float) -> float | None:
    """The sample that `share` of all do not exceed; None where fewer than one sample would lie beyond it.

    So the 99th percentile asks for 100 samples, the 90th for 10.
    """
    if len(samples) * (1 - share) < 1 - 1e-9:
        return None
    return sorted(samples)[math.ceil(len(samples) * share - 1e-9) - 1]
