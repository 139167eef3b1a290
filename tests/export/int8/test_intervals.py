"""Intervals of fidelity figures contain the figure of all photos about as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the export extra")

from edgefeat_export._measure.intervals import Interval, interval, intervals


def test_an_interval_contains_the_true_mean_about_as_often_as_it_says() -> None:
    # Skewed like cosines: most photos close to 1, a few further away.
    random = np.random.default_rng(5)
    contained = 0
    for _ in range(60):
        found = interval(1 - random.gamma(2.0, 0.001, 40))
        assert found is not None
        contained += found.low <= 1 - 0.002 <= found.high
    assert 50 <= contained <= 60  # 57 expected; 50 or fewer of 60 have a probability of 0.4 %


def test_an_interval_of_equal_values_is_the_value_and_of_two_none() -> None:
    assert interval(np.ones(20)) == Interval(1.0, 1.0)
    assert interval(np.array([0.1, 0.9])) is None


def test_more_photos_make_intervals_narrower_and_fewer_photos_below_the_minimum() -> None:
    random = np.random.default_rng(1)
    reference = random.normal(size=(400, 8)).astype(np.float32)
    features = (reference + random.normal(scale=0.1, size=reference.shape)).astype(np.float32)
    difference = random.choice([-1.0, 0.0, 1.0], 400)
    few, many = (intervals(features[:n], reference[:n], difference[:n]) for n in (20, 400))
    for name in ("mean_cosine", "overlap", "nearest"):
        wide, narrow = getattr(few, name), getattr(many, name)
        assert narrow.high - narrow.low < wide.high - wide.low
    assert few.linear is None
    assert few.below == pytest.approx(0.139, abs=0.001)  # 1 - 0.05 ** (1 / 20)
    assert many.below < 0.008
