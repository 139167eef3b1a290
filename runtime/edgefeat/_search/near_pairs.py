"""All pairs of features whose cosine reaches a threshold: exact, but without computing most products."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgefeat._search.progress_bar import with_bar
from edgefeat._search.spill import Spill, spilled

__all__ = ["near_pairs"]

_BLOCK = 2048
# Enough directions to separate most photos, few enough to be ten times cheaper than whole features.
_DIRECTIONS = 128
_RUNS, _RUN = 16, 64
_GATHERED = 2048  # pairs of whole features multiplied at a time
# With this many pairs, multiplying whole blocks is as fast as checking single pairs.
_WORTH_A_BLOCK = 40_000
_LET_GO = 32  # blocks after which memory is released
# Allowances for float32 rounding: of a bound, and of the cosine of two rows.
_SLACK, _ROUNDING = 1e-5, 1e-6

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


def near_pairs(features: Spill, threshold: float, *, progress: bool = False) -> Iterator[Pairs]:
    """Yield, in blocks, the indices of all pairs of rows of `features` (unit length) with cosine >= `threshold`.

    In each pair the first index is the lower. Only a few blocks of 2,048 rows are in memory at a time.

    The cosine of two features is at most the cosine of their parts in a few directions plus the product of the lengths
    of the remainders. This bound is a product of short rows; only the pairs that pass it are computed in full.
    """
    count, dimensions = features.rows.shape
    least = threshold - _ROUNDING
    with spilled() as bounds:
        short = dimensions > 2 * _DIRECTIONS and count > _BLOCK
        if short:
            _bound(features, bounds)
        blocks = list(_blocks(count))
        shown = with_bar(blocks, len(blocks), "comparing", "block", show=progress)
        for done, (start, other) in enumerate(shown):
            bounded = _reaching(bounds.rows, start, other, threshold - _SLACK) if short else None
            if bounded is not None and len(bounded[0]) <= _WORTH_A_BLOCK:
                pairs = _confirmed(features, bounded, least)
            else:
                pairs = _reaching(features.rows, start, other, least)
                if short:
                    features.release()
            if len(pairs[0]):
                yield pairs
            if done % _LET_GO == 0:
                features.release()
                bounds.release()


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, _BLOCK):
        for other in range(start, count, _BLOCK):
            yield start, other


def _reaching(rows: NDArray[np.float32], start: int, other: int, least: float) -> Pairs:
    """Return the pairs, with one row from each block, whose product is at least `least`."""
    ones, others = np.nonzero(rows[start : start + _BLOCK] @ rows[other : other + _BLOCK].T >= least)
    ones, others = ones + start, others + other
    above = ones < others
    return ones[above], others[above]


def _bound(features: Spill, bounds: Spill) -> None:
    """Fill `bounds` with rows (directions + 1) whose products are never below the cosines of the whole rows."""
    rows = features.rows
    # Runs of rows: reading single rows would load their neighbours too, and so the whole file.
    starts = np.linspace(0, max(0, len(rows) - _RUN), _RUNS).astype(int).tolist()
    directions = _directions(np.concatenate([rows[start : start + _RUN] for start in starts]))
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        inside = block @ directions
        left = (block**2).sum(1, keepdims=True) - (inside**2).sum(1, keepdims=True)
        bounds.add(np.concatenate([inside, np.sqrt(np.maximum(left, 0) + _SLACK)], axis=1))
        features.release()
    bounds.open()


def _directions(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return orthonormal columns (D, directions) that keep most of the length of the rows in `sample`.

    Any orthonormal columns are correct; these let the fewest pairs pass. Subspace iteration takes a hundredth of the
    time of a singular value decomposition.
    """
    columns = np.random.default_rng(0).standard_normal((sample.shape[1], _DIRECTIONS), np.float32)
    for _ in range(3):
        columns = np.linalg.qr(sample.T @ (sample @ columns))[0]
    return columns


def _confirmed(features: Spill, pairs: Pairs, least: float) -> Pairs:
    near = np.empty(len(pairs[0]), bool)
    for start in range(0, len(near), _GATHERED):
        part = slice(start, start + _GATHERED)
        near[part] = np.einsum("ij,ij->i", features.take(pairs[0][part]), features.take(pairs[1][part])) >= least
    return pairs[0][near], pairs[1][near]
