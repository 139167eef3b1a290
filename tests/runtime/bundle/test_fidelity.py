"""How near features are: cosines, neighbours and thresholds, against the plain formulas."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgefeat._bundle.fidelity import cosines, measure, nearest
from edgefeat._bundle.json_records import to_json

Rows = NDArray[np.float32]

# Libraries of 32-bit ARM switch subnormal numbers off.
SUBNORMAL = sys.maxsize > 2**32
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=SUBNORMAL)
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6)) | st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)
)


@pytest.fixture(autouse=True)
def _no_warning_reaches_a_user() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def dot(a: Rows, b: Rows) -> float:
    return math.fsum(float(x) * float(y) for x, y in zip(a.ravel(), b.ravel(), strict=True))


def cosine(a: Rows, b: Rows) -> float:
    return dot(a, b) / math.sqrt(dot(a, a)) / math.sqrt(dot(b, b))


def normal(seed: int, *shape: int) -> Rows:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(deadline=None)
@given(st.data(), SHAPES)
def test_cosines_are_those_of_the_formula(data: st.DataObject, shape: tuple[int, ...]) -> None:
    a, b = (data.draw(hnp.arrays(np.float32, shape, elements=NUMBERS)) for _ in range(2))
    found = cosines(a, b)
    assert found.shape == (shape[0],)
    assert found.dtype == np.float64
    assert (np.abs(found) <= 1).all()
    for one, left, right in zip(found, a, b, strict=True):
        zero = [not row.any() for row in (left, right)]
        expected = 1.0 if all(zero) else 0.0 if any(zero) else cosine(left, right)
        assert one == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(hnp.arrays(np.float32, (3, 7), elements=NUMBERS), st.floats(0.01, 100))
def test_a_cosine_does_not_depend_on_length(rows: Rows, scale: float) -> None:
    assume((np.abs(rows) > 1e-20).any(axis=1).all())
    np.testing.assert_allclose(cosines(rows, rows.astype(np.float64) * scale), 1, atol=1e-12)
    np.testing.assert_allclose(cosines(rows, rows.astype(np.float64) * -scale), -1, atol=1e-12)


def test_what_is_not_finite_is_unlike_all_and_zero_unlike_all_but_zero() -> None:
    one, zero, inf, nan = [1.0, 0.0], [0.0, 0.0], [np.inf, 0.0], [1.0, np.nan]
    features = np.array([one, zero, zero, one, inf, one, nan, zero, nan, inf], np.float32)
    reference = np.array([one, zero, one, zero, one, inf, one, nan, nan, inf], np.float32)
    assert cosines(features, reference).tolist() == [1, 1, 0, 0, -1, -1, -1, -1, -1, -1]


def brute_nearest(queries: Rows, gallery: Rows, count: int) -> list[list[int]]:
    found = []
    for index, query in enumerate(queries):
        others = [other for other in range(len(gallery)) if other != index]
        others.sort(key=lambda other, query=query: (-cosine(query, gallery[other]), other))  # type: ignore[misc]
        found.append(others[:count])
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(2, 25), st.data())
def test_the_nearest_are_those_of_a_plain_loop(seed: int, pictures: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, pictures - 1))
    queries = normal(seed, pictures, 2, 3)
    gallery = queries + 0.5 * normal(seed + 1, pictures, 2, 3)
    found = nearest(queries, gallery, count)
    assert found.shape == (pictures, count)
    assert found.tolist() == brute_nearest(queries, gallery, count)


def test_of_equal_cosines_the_lower_index_comes_first() -> None:
    axes = np.eye(3, dtype=np.float32)[[0, 1, 1, 1, 2, 0]]
    assert nearest(axes, axes, 3).tolist() == [[5, 1, 2], [2, 3, 0], [1, 3, 0], [1, 2, 0], [0, 1, 2], [0, 1, 2]]


def test_a_picture_is_not_its_own_neighbour_even_in_another_gallery() -> None:
    rows = normal(4, 12, 5)
    for found in (nearest(rows, rows, 11), nearest(rows, normal(5, 12, 5), 11)):
        assert [sorted(row) for row in found.tolist()] == [[j for j in range(12) if j != i] for i in range(12)]


@pytest.mark.parametrize("pictures", [1, 2, 10])
def test_of_few_pictures_nothing_is_said_of_neighbours(pictures: int) -> None:
    found = measure(normal(1, pictures, 8), normal(2, pictures, 8))
    assert found.pictures == pictures
    assert (found.overlap, found.mixed_overlap, found.threshold_shift, found.accuracy) == (None, None, None, None)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(11, 30), st.sampled_from([0.0, 0.01, 0.3, 2.0]))
def test_measure_is_what_plain_loops_give(seed: int, pictures: int, noise: float) -> None:
    reference = normal(seed, pictures, 12)
    features = (reference + noise * normal(seed + 1, pictures, 12)).astype(np.float32)
    found = measure(features, reference)
    plain = [cosine(a, b) for a, b in zip(features, reference, strict=True)]
    assert found.mean_cosine == pytest.approx(math.fsum(plain) / pictures)
    assert found.minimum_cosine == pytest.approx(min(plain))
    assert found.low_cosine == pytest.approx(float(np.percentile(plain, 5)))
    assert found.maximum_difference == max(
        abs(float(a) - float(b)) for a, b in zip(features.ravel(), reference.ravel(), strict=True)
    )
    wanted = brute_nearest(reference, reference, 10)
    for share, queries, gallery in (
        (found.overlap, features, features),
        (found.mixed_overlap, features, reference),
    ):
        pairs = zip(brute_nearest(queries, gallery, 10), wanted, strict=True)
        assert share == pytest.approx(sum(len(set(a) & set(b)) for a, b in pairs) / (10 * pictures))
    assert found.threshold_shift == pytest.approx(threshold(features) - threshold(reference), abs=1e-9)
    if noise == 0:
        assert (found.overlap, found.mixed_overlap, found.threshold_shift) == (1, 1, 0)


def threshold(rows: Rows) -> float:
    """The cosine above which one pair in a hundred lies, by linear interpolation between the two nearest ranks."""
    pairs = sorted(cosine(rows[i], rows[j]) for i in range(len(rows)) for j in range(i))
    place = 0.99 * (len(pairs) - 1)
    low = math.floor(place)
    high = min(low + 1, len(pairs) - 1)
    return pairs[low] + (place - low) * (pairs[high] - pairs[low])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_no_number_is_the_worst_there_is_and_can_be_written(value: float) -> None:
    reference = normal(3, 12, 4)
    features = reference.copy()
    features[5, 2] = value
    found = measure(features, reference)
    assert found.minimum_cosine == -1
    assert found.mean_cosine < 0.9
    assert found.maximum_difference > 1e30
    assert (found.overlap, found.mixed_overlap, found.threshold_shift) == (None, None, None)
    json.dumps(to_json(found), allow_nan=False)


def test_the_inputs_are_left_as_they_are() -> None:
    features, reference = normal(6, 11, 4), normal(7, 11, 4)
    before = features.copy(), reference.copy()
    measure(features, reference)
    np.testing.assert_array_equal(features, before[0])
    np.testing.assert_array_equal(reference, before[1])
