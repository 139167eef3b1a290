"""Intervals of measured figures: how far they may be from those of more photos of the same kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.fidelity import cosines, nearest

__all__ = ["Interval", "Intervals", "interval", "intervals"]

#: The share of intervals that contain the true figure, if the photos are a random sample.
_CONFIDENCE = 0.95

_RESAMPLES = 2000

#: Photos for which the figures of neighbours mean something.
_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure between `low` and `high` with a confidence of 95 %."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """The intervals of one tap's figures.

    `below` is the share of photos, at most, whose cosine is below the smallest measured one. `nearest` and `linear` are
    differences in accuracy, the variant's minus that of Keras. None if too few photos or no labels were given.
    """

    mean_cosine: Interval | None
    overlap: Interval | None
    below: float
    nearest: Interval | None = None
    linear: Interval | None = None


def interval(values: NDArray[np.floating]) -> Interval | None:
    """Return the interval of the mean of `values`, one for each photo; None for fewer than three.

    Bias-corrected and accelerated bootstrap (Efron: Better Bootstrap Confidence Intervals, 1987), by scipy, with a
    fixed seed. Values that are all equal show no spread, so that the interval is that one value.
    """
    from scipy.stats import bootstrap  # importing takes half a second

    if len(values) < 3:
        return None
    mean = float(values.mean())
    if np.ptp(values) <= 1e-12:
        return Interval(mean, mean)
    found = bootstrap(
        (values.astype(np.float64),),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return Interval(low, high) if np.isfinite([low, high]).all() else Interval(mean, mean)


def intervals(
    features: NDArray[np.float32],
    reference: NDArray[np.float32],
    nearest_difference: NDArray[np.floating] | None = None,
    linear_difference: NDArray[np.floating] | None = None,
) -> Intervals:
    """Return the intervals of the figures of `features` to `reference`, both (N, *shape).

    The differences (N,) are 1 where the variant alone is right about a photo's label, -1 where Keras alone is, else 0.
    For overlap@10 the gallery stays as it is and only the queries are resampled.
    """
    count = len(features)
    shared = None
    if count > _NEIGHBOURS and bool(np.isfinite(features).all()):
        pairs = zip(nearest(features, features), nearest(reference, reference), strict=True)
        shared = interval(np.array([len(np.intersect1d(a, b)) / _NEIGHBOURS for a, b in pairs]))
    return Intervals(
        mean_cosine=interval(cosines(features, reference)),
        overlap=shared,
        below=1 - (1 - _CONFIDENCE) ** (1 / count),
        nearest=None if nearest_difference is None else interval(nearest_difference),
        linear=None if linear_difference is None else interval(linear_difference),
    )
