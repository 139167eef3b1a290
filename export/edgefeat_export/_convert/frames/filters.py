"""Pillow's antialiased bilinear resize as matrices, one for each axis, including crop and pad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat._images.form import PictureForm
from edgefeat_export._convert import grid

__all__ = ["Axis", "axes", "bilinear", "byte_weights", "whole_weights"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """The resize along one axis: `weights` (resized, source), with `before` and `after` pixels of black around it."""

    weights: Array
    before: int = 0
    after: int = 0


def bilinear(source: int, size: int, begin: float = 0.0, end: float | None = None) -> Array:
    """Return the weights (size, source) with which Pillow resizes the part from `begin` to `end` of an axis.

    Each row sums to 1. The filter is a triangle, as wide as two pixels of the result, cut off at the image's edges.
    """
    scale = ((source if end is None else end) - begin) / size
    reach = max(scale, 1.0)
    centres = begin + (np.arange(size) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(int), 0)
    last = np.minimum((centres + reach + 0.5).astype(int), source)
    place = np.arange(source)
    weights = np.maximum(1 - np.abs((place + 0.5 - centres[:, np.newaxis]) / reach), 0)
    weights *= (place >= first[:, np.newaxis]) & (place < last[:, np.newaxis])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def axes(size: tuple[int, int], form: PictureForm) -> tuple[Axis, Axis]:
    """Return how an upright image of `size` (width, height) is fitted to the picture: across and down.

    The result equals that of edgefeat's own `read_picture`.
    """
    width, height = size
    if form.fit == "stretch":
        return Axis(bilinear(width, form.width)), Axis(bilinear(height, form.height))
    if form.fit == "crop":
        across = min(width, max(1, height * form.width // form.height))
        down = min(height, max(1, width * form.height // form.width))
        left, top = (width - across) // 2, (height - down) // 2
        return (
            Axis(bilinear(width, form.width, left, left + across)),
            Axis(bilinear(height, form.height, top, top + down)),
        )
    scale = min(form.width / width, form.height / height)
    across = min(form.width, max(1, round(width * scale)))
    down = min(form.height, max(1, round(height * scale)))
    left, top = (form.width - across) // 2, (form.height - down) // 2
    return (
        Axis(bilinear(width, across), left, form.width - across - left),
        Axis(bilinear(height, down), top, form.height - down - top),
    )


def byte_weights(weights: Array, most: int, *, pairs: bool = False) -> tuple[Array, int]:
    """Return `weights`, whose rows sum to 1, as whole numbers from 0 to `most`, and the sum of each of their rows.

    Because the sums are equal, plain areas keep their level. The remainders go to the weights with the largest ones.
    With `pairs`, two neighbours sum to `grid.PAIR` at most, so that no 16-bit sum of an x86 processor saturates.
    """
    total = int(most // weights.max())
    if pairs:
        # Rounding up both neighbours adds less than 2.
        largest = float((weights[:, 1:] + weights[:, :-1]).max()) if weights.shape[1] > 1 else 0.0
        total = min(total, int((grid.PAIR - 2) // max(largest, 1e-9)))
    return whole_weights(weights, total), total


def whole_weights(weights: Array, total: int) -> Array:
    """Return `weights` (rows, source), of at least 0, whose rows sum to 1, as whole numbers that sum to `total`.

    The remainders go to the weights with the largest ones.
    """
    scaled = weights * total
    whole = np.floor(scaled + 1e-9)
    missing = np.rint(total - whole.sum(axis=1)).astype(int)
    order = np.argsort(np.argsort(whole - scaled, axis=1, kind="stable"), axis=1)
    return np.asarray(whole + (order < missing[:, np.newaxis]))
