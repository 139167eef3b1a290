"""Medians with their spread, and ratios computed pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Estimate", "median", "ratio"]

_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median and its 95 % interval, by the bootstrap (Efron 1979)."""

    median: float
    low: float
    high: float


def median(samples: Sequence[float]) -> Estimate:
    """The median of `samples`, at least one."""
    values = np.asarray(samples, np.float64)
    random = np.random.default_rng(0)
    resampled = np.median(random.choice(values, (_RESAMPLES, len(values))), axis=1)
    low, high = np.percentile(resampled, (2.5, 97.5))
    return Estimate(float(np.median(values)), float(low), float(high))


def ratio(samples: Sequence[float], others: Sequence[float]) -> Estimate:
    """The median of `samples[i] / others[i]`: what was measured in the same turn is divided."""
    return median((np.asarray(samples) / np.asarray(others)).tolist())
