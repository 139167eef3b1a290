"""Round weights to integers so that a layer's output changes least, instead of each weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky

from edgefeat_export._convert.grid import LEVELS, PAIR
from edgefeat_export._quantize.correction.layers import Floats

__all__ = ["nearest", "round_with_feedback"]

#: Share of the mean variance that is added to each input's, so that constant inputs do not divide by zero.
_DAMPING = 0.01

#: Sweeps of coordinate descent after the feedback, if they are cheap.
_SWEEPS = 2
_CHEAP = 3e9

#: Inputs whose errors are fed forward one by one; to later inputs they are fed forward once per block.
_BLOCK = 64

#: The most inputs for which float64 is used; above, float32 is twice as fast and precise enough.
_SMALL = 32

#: The largest number of values in the moments of groups that are computed together.
_TOGETHER = 2**22


def nearest(matrix: Floats, scale: NDArray[np.float64], other: NDArray[np.intp] | None) -> NDArray[np.int8]:
    """Return the nearest integers of `matrix` (groups, outputs, inputs); both one less in a pair that is too large."""
    levels = np.rint(matrix / scale[..., np.newaxis]).clip(-LEVELS, LEVELS)
    if other is not None:
        excess = np.abs(levels) + np.abs(levels[..., other]) - PAIR
        levels -= np.sign(levels) * np.ceil(excess.clip(0) / 2)
    return levels.astype(np.int8)


def round_with_feedback(
    matrix: Floats, scale: NDArray[np.float64], moments: NDArray[np.floating], other: NDArray[np.intp] | None
) -> NDArray[np.int8]:
    """Return the integers of `matrix` (groups, outputs, inputs) that change the outputs' variance least.

    `moments` (groups, inputs, inputs) is the covariance of the inputs; the mean is left to the bias. Inputs are
    processed in descending order of variance, and the error of each is fed forward to those not yet rounded (Frantar,
    Ashkboos, Hoefler, Alistarh: GPTQ, 2022, after Hassibi and Stork: Optimal Brain Surgeon, 1993); then single integers
    are changed while that reduces the error (coordinate descent, of the family of Nagel et al.: AdaRound, 2020).
    """
    groups, _, inputs = matrix.shape
    levels = np.empty(matrix.shape, np.int8)
    kind = np.float64 if inputs <= _SMALL else np.float32
    together = max(1, _TOGETHER // (inputs * inputs))
    for start in range(0, groups, together):
        part = slice(start, start + together)
        weights: NDArray[np.floating] = (matrix[part] / scale[part, :, np.newaxis]).astype(kind)
        spread = _damped(moments[part], kind)
        levels[part] = _rounded(weights, spread, other)
    return levels


def _damped(moments: NDArray[np.floating], kind: type[np.floating]) -> NDArray[np.floating]:
    """Return `moments` with a share of the mean variance added to the diagonal, which makes them positive definite."""
    inputs = moments.shape[-1]
    variance = np.trace(moments, axis1=1, axis2=2, dtype=np.float64) / inputs
    added = np.where(variance > 0, variance * _DAMPING, 1.0)
    damped: NDArray[np.floating] = moments.astype(kind)
    diagonal = np.arange(inputs)
    damped[:, diagonal, diagonal] += added[:, np.newaxis].astype(kind)
    return damped


def _rounded(
    weights: NDArray[np.floating], moments: NDArray[np.floating], other: NDArray[np.intp] | None
) -> NDArray[np.int8]:
    """Return the integers of `weights`, which are in units of the scale."""
    groups, outputs, inputs = weights.shape
    order = np.argsort(-moments.diagonal(axis1=1, axis2=2).mean(0), kind="stable")
    factor = _feedback(moments[:, order[:, np.newaxis], order])
    # Inputs are processed one after another, for all outputs: store the values of an input next to each other.
    wanted = np.ascontiguousarray(weights[:, :, order].transpose(0, 2, 1))
    place = np.argsort(order)
    ordered = None if other is None else place[other[order]]
    limit = np.full_like(wanted, LEVELS)
    if ordered is not None:
        limit[:, ordered == np.arange(inputs)] = PAIR // 2
    levels = np.zeros_like(wanted)
    errors = np.zeros_like(wanted)
    for start in range(0, inputs, _BLOCK):
        end = min(start + _BLOCK, inputs)
        rest = wanted[:, start:end] + factor[:, :start, start:end].transpose(0, 2, 1) @ errors[:, :start]
        for j in range(start, end):
            levels[:, j] = np.clip(np.rint(rest[:, j - start]), -limit[:, j], limit[:, j])
            errors[:, j] = wanted[:, j] - levels[:, j]
            rest[:, j + 1 - start :] += errors[:, j, np.newaxis] * factor[:, j, j + 1 : end, np.newaxis]
            if ordered is not None:
                limit[:, ordered[j]] = np.minimum(limit[:, ordered[j]], PAIR - np.abs(levels[:, j]))
    levels = levels[:, place]
    if groups * outputs * inputs * inputs * _SWEEPS < _CHEAP:
        _descend(np.ascontiguousarray(weights.transpose(0, 2, 1)), levels, moments, other)
    return levels.transpose(0, 2, 1).astype(np.int8)


def _feedback(moments: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return in column j the correction of input j for an error of 1 in each earlier input.

    With R R^T = H and R upper triangular, the error e of an output's weights costs |e R|^2, and element j of e R has
    only the errors up to j: it is zero if e_j = -sum of e_i R_ij / R_jj. That gives GPTQ's integers without the inverse
    of H (Chen et al.: The Geometry of LLM Quantization, GPTQ as Babai's Nearest Plane Algorithm, 2025).
    """
    turned = moments[:, ::-1, ::-1]
    if moments.shape[-1] <= _SMALL:
        root = np.linalg.cholesky(turned)
    else:
        root = np.stack([cholesky(h, lower=True, check_finite=False) for h in turned])
    upper = root[:, ::-1, ::-1]
    return np.asarray(upper / upper.diagonal(axis1=1, axis2=2)[:, np.newaxis])


def _descend(
    weights: NDArray[np.floating],
    levels: NDArray[np.floating],
    moments: NDArray[np.floating],
    other: NDArray[np.intp] | None,
) -> None:
    """Move single integers, in place, each to where the error is smallest while the others stay.

    `weights` and `levels` are (groups, inputs, outputs). Slopes of later inputs are updated block by block.
    """
    inputs = weights.shape[1]
    slope = moments @ (levels - weights)
    for _ in range(_SWEEPS):
        for start in range(0, inputs, _BLOCK):
            block = slice(start, min(start + _BLOCK, inputs))
            before = levels[:, block].copy()
            near, own = slope[:, block], moments[:, block, block]
            for k in range(before.shape[1]):
                j = start + k
                limit = LEVELS if other is None else np.minimum(LEVELS, PAIR - np.abs(levels[:, other[j]]))
                if other is not None and other[j] == j:
                    limit = PAIR // 2
                best = np.rint(levels[:, j] - near[:, k] / own[:, k, k, np.newaxis])
                step = np.clip(best, -limit, limit) - levels[:, j]
                levels[:, j] += step
                near += own[:, :, k, np.newaxis] * step[:, np.newaxis]
            moved = levels[:, block] - before
            slope[:, :start] += moments[:, :start, block] @ moved
            slope[:, block.stop :] += moments[:, block.stop :, block] @ moved
