"""Rounding weights to integers so that a layer's output changes least, not each weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from edgefeat_export._convert.grid import LEVELS, PAIR
from edgefeat_export._correct.layers import Floats

__all__ = ["nearest", "round_with_feedback"]

#: Share of the mean variance that is added to each input's: without it inputs that never vary divide by zero.
_DAMPING = 0.01

#: Sweeps of coordinate descent after the feedback, where they are cheap.
_SWEEPS = 2
_CHEAP = 3e9

#: Inputs whose errors are fed forward one by one; beyond them, once for all of these.
_BLOCK = 64

#: Inputs up to which all is computed in float64; beyond, in float32, which is twice as fast and precise enough.
_SMALL = 32

#: Most values of the moments of groups that are computed together.
_TOGETHER = 2**22


def nearest(matrix: Floats, scale: NDArray[np.float64], other: NDArray[np.intp] | None) -> NDArray[np.int8]:
    """The nearest integers of `matrix` (groups, outputs, inputs); of a pair that is too great, both one less."""
    levels = np.rint(matrix / scale[..., np.newaxis]).clip(-LEVELS, LEVELS)
    if other is not None:
        excess = np.abs(levels) + np.abs(levels[..., other]) - PAIR
        levels -= np.sign(levels) * np.ceil(excess.clip(0) / 2)
    return levels.astype(np.int8)


def round_with_feedback(
    matrix: Floats, scale: NDArray[np.float64], moments: NDArray[np.float64], other: NDArray[np.intp] | None
) -> NDArray[np.int8]:
    """The integers of `matrix` (groups, outputs, inputs) that change the outputs' variance least.

    `moments` (groups, inputs, inputs) is the covariance of the inputs; the mean is left to the bias. Inputs are taken
    in falling order of variance, and the error made in one is fed forward into those not yet rounded (Frantar,
    Ashkboos, Hoefler, Alistarh: GPTQ, 2022, after Hassibi and Stork: Optimal Brain Surgeon, 1993); then single
    integers are moved while that lessens the error (coordinate descent, of the family of Nagel et al.: AdaRound, 2020).
    """
    groups, _, inputs = matrix.shape
    levels = np.empty(matrix.shape, np.int8)
    kind = np.float64 if inputs <= _SMALL else np.float32
    together = max(1, _TOGETHER // (inputs * inputs))
    for start in range(0, groups, together):
        part = slice(start, start + together)
        weights: NDArray[np.floating] = (matrix[part] / scale[part, :, np.newaxis]).astype(kind)
        spread: NDArray[np.floating] = _damped(moments[part]).astype(kind)
        levels[part] = _rounded(weights, spread, other)
    return levels


def _damped(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """`moments` with a share of the mean variance on the diagonal, which makes them positive definite."""
    inputs = moments.shape[-1]
    variance = np.trace(moments, axis1=1, axis2=2) / inputs
    added = np.where(variance > 0, variance * _DAMPING, 1.0)
    return moments + added[:, np.newaxis, np.newaxis] * np.eye(inputs)


def _rounded(
    weights: NDArray[np.floating], moments: NDArray[np.floating], other: NDArray[np.intp] | None
) -> NDArray[np.int8]:
    """The integers of `weights`, which are in units of the scale."""
    groups, outputs, inputs = weights.shape
    order = np.argsort(-moments.diagonal(axis1=1, axis2=2).mean(0), kind="stable")
    factor = _feedback(moments[:, order][:, :, order])
    rest = weights[:, :, order].copy()
    place = np.argsort(order)
    ordered = None if other is None else place[other[order]]
    limit = np.full_like(rest, LEVELS)
    if ordered is not None:
        limit[:, :, ordered == np.arange(inputs)] = PAIR // 2
    levels = np.zeros_like(rest)
    for start in range(0, inputs, _BLOCK):
        end = min(start + _BLOCK, inputs)
        for j in range(start, end):
            levels[:, :, j] = np.clip(np.rint(rest[:, :, j]), -limit[:, :, j], limit[:, :, j])
            error = rest[:, :, j] - levels[:, :, j]
            rest[:, :, j + 1 : end] -= error[:, :, np.newaxis] * factor[:, np.newaxis, j, j + 1 : end]
            if ordered is not None:
                pair = np.minimum(limit[:, :, ordered[j]], PAIR - np.abs(levels[:, :, j]))
                limit[:, :, ordered[j]] = pair
        rest[:, :, end:] -= (rest[:, :, start:end] - levels[:, :, start:end]) @ factor[:, start:end, end:]
    levels = levels[:, :, place]
    if groups * outputs * inputs * inputs * _SWEEPS < _CHEAP:
        _descend(weights, levels, moments, other)
    return levels.astype(np.int8)


def _feedback(moments: NDArray[np.floating]) -> NDArray[np.floating]:
    """Row j: what an error of 1 in input j is worth in each later input; the upper factor of the inverse, row-scaled.

    If R R^T = H with R upper triangular, U = R^-1 is the upper factor of the inverse of H.
    """
    if moments.shape[-1] <= _SMALL:
        root = np.linalg.cholesky(moments[:, ::-1, ::-1])[:, ::-1, ::-1]
        upper = np.linalg.inv(root)
    else:
        eye = np.eye(moments.shape[-1], dtype=moments.dtype)
        upper = np.stack(
            [solve_triangular(cholesky(h[::-1, ::-1], lower=True)[::-1, ::-1], eye, lower=False) for h in moments]
        )
    return np.asarray(upper / upper.diagonal(axis1=1, axis2=2)[:, :, np.newaxis])


def _descend(
    weights: NDArray[np.floating],
    levels: NDArray[np.floating],
    moments: NDArray[np.floating],
    other: NDArray[np.intp] | None,
) -> None:
    """Move single integers, in place, each to where the error is least while the others stay."""
    slope = (levels - weights) @ moments
    for _ in range(_SWEEPS):
        for j in range(weights.shape[-1]):
            limit = LEVELS if other is None else np.minimum(LEVELS, PAIR - np.abs(levels[:, :, other[j]]))
            best = np.rint(levels[:, :, j] - slope[:, :, j] / moments[:, np.newaxis, j, j])
            if other is not None and other[j] == j:
                limit = PAIR // 2
            step = np.clip(best, -limit, limit) - levels[:, :, j]
            levels[:, :, j] += step
            slope += step[:, :, np.newaxis] * moments[:, np.newaxis, j]
