"""Medians, intervals, ratios and percentiles against what the books say of them."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the bench extra")

from edgefeat_bench._statistics import FEWEST, median, quantile, ratio


@pytest.mark.parametrize("count", [6, 7, 10, 25, 60, 200])
def test_the_interval_is_the_narrowest_of_sorted_samples_that_holds_the_median_in_95_of_100(count: int) -> None:
    values = np.random.default_rng(count).lognormal(size=count)
    # The median lies below the k-th smallest sample with the chance of fewer than k heads among `count` coins.
    tails = np.cumsum([comb(count, heads) / 2**count for heads in range(count)])
    rank = int(np.searchsorted(tails, 0.025, side="right"))
    estimate = median(values.tolist())
    ordered = np.sort(values)
    assert (estimate.low, estimate.high) == (ordered[rank - 1], ordered[count - rank])
    assert estimate.low <= estimate.median <= estimate.high
    assert estimate.median == pytest.approx(float(np.median(values)))
    assert estimate.count == count


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    held = [
        found.low <= 1 <= found.high for found in (median(random.lognormal(size=30).tolist()) for _ in range(600))
    ]  # fmt: skip
    assert 0.93 < np.mean(held) <= 1


def test_of_few_samples_the_whole_range_is_given() -> None:
    assert median([3.0, 1.0, 2.0]) == median([1.0, 2.0, 3.0])
    assert (median([3.0, 1.0, 2.0]).low, median([3.0, 1.0, 2.0]).high) == (1, 3)
    assert (median([5.0]).low, median([5.0]).median, median([5.0]).high) == (5, 5, 5)
    assert FEWEST == 6


def test_ratios_are_pair_by_pair_so_that_drift_cancels() -> None:
    drifting = np.random.default_rng(0).uniform(1, 2, 50) * np.linspace(1, 10, 50)
    found = ratio((3 * drifting).tolist(), drifting.tolist())
    assert found.low == pytest.approx(3)
    assert found.high == pytest.approx(3)


def test_a_contender_that_stopped_is_compared_on_the_turns_both_had() -> None:
    found = ratio([2.0, 4.0, 100.0], [1.0, 2.0])
    assert (found.median, found.count) == (2, 2)


def test_a_percentile_is_a_sample_and_left_out_where_there_are_too_few() -> None:
    samples = [float(value) for value in range(1, 101)]
    assert quantile(samples[::-1], 0.9) == 90
    assert quantile(samples, 0.99) == 99
    assert quantile(samples[:99], 0.99) is None
    assert quantile(samples[:10], 0.9) == 9
    assert quantile(samples[:9], 0.9) is None
