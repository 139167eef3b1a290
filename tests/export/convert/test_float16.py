"""Rounding to float16: each weight to one of its two neighbours, each channel's errors adding up to nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

pytest.importorskip("ai_edge_litert", reason="the export extra is not installed")

from edgefeat_export._convert.tflite.float16 import rounded

WEIGHTS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=st.floats(-100, 100, width=32)
)


@given(WEIGHTS)
def test_every_weight_is_one_of_its_two_float16_neighbours(rows: np.ndarray) -> None:
    result = rounded(rows)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, result.astype(np.float16).astype(np.float32))
    spacing = np.spacing(np.abs(rows).astype(np.float16)).astype(np.float64)
    assert (np.abs(result - rows.astype(np.float64)) <= spacing).all()


@given(WEIGHTS)
def test_a_channels_errors_never_add_up_to_more_than_with_the_nearest(rows: np.ndarray) -> None:
    ours = np.abs((rounded(rows) - rows.astype(np.float64)).sum(axis=1))
    nearest = np.abs((rows.astype(np.float16).astype(np.float64) - rows).sum(axis=1))
    assert (ours <= nearest + 1e-12).all()


def test_with_many_weights_the_sum_of_errors_all_but_vanishes() -> None:
    rows = np.random.default_rng(0).normal(0, 0.05, (8, 1000)).astype(np.float32)
    ours = np.abs((rounded(rows) - rows.astype(np.float64)).sum(axis=1))
    nearest = np.abs((rows.astype(np.float16).astype(np.float64) - rows).sum(axis=1))
    assert ours.mean() < nearest.mean() / 50
