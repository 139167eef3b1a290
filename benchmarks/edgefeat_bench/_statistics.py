"""Medians with their intervals, and ratios computed pair by pair."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: With fewer samples no interval of theirs contains the median with 95 % confidence: 2 * 0.5**6 < 0.05.
FEWEST = 6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median of `count` samples and its 95 % interval; with fewer than `FEWEST` samples, their range."""

    median: float
    low: float
    high: float
    count: int


def median(samples: Sequence[float]) -> Estimate:
    """Return the median of `samples`, at least one, and its exact interval.

    The interval is from one sorted sample to another (Conover, Practical Nonparametric Statistics, 3.2): valid for any
    distribution and always the same, unlike a bootstrap's.
    """
    return _median(tuple(samples))


@functools.lru_cache(maxsize=8192)  # tables, plots and sentences ask for the same ones
def _median(samples: tuple[float, ...]) -> Estimate:
    from scipy import stats  # takes 0.5 s

    values = np.asarray(samples, np.float64)
    low, high = float(values.min()), float(values.max())
    if len(values) >= FEWEST:
        interval = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
        low, high = float(interval.low), float(interval.high)
    return Estimate(float(np.median(values)), low, high, len(values))


def ratio(samples: Sequence[float], others: Sequence[float]) -> Estimate:
    """Return the median of `samples[i] / others[i]`, measured in the same turn.

    If one contender stopped before the other, only the turns that both have count; at least one.
    """
    count = min(len(samples), len(others))
    return median((np.asarray(samples[:count]) / np.asarray(others[:count])).tolist())


def quantile(samples: Sequence[float], share: float) -> float | None:
    """Return the sample that `share` of all do not exceed; None if fewer than one sample would be above it.

    So the 99th percentile requires 100 samples, the 90th 10.
    """
    if len(samples) * (1 - share) < 1 - 1e-9:
        return None
    return sorted(samples)[math.ceil(len(samples) * share - 1e-9) - 1]
