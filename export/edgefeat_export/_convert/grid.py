"""The grid of int8 weights: one scale per output channel, integers from -127 to 127."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "PAIR", "found_scales", "partners", "scales"]

LEVELS = 127

#: The largest sum of the magnitudes of two weights that are multiplied and added in one 16-bit lane.
#:
#: x86 processors without VNNI multiply uint8 activations by int8 weights with VPMADDUBSW, which adds two products and
#: saturates at 32767: 255 * 128 = 32640 is below.
PAIR = 128

#: How far from an integer a weight on the grid may be: float32 is a hundred times finer.
_NEAR = 1e-4

#: Outputs, and weights of an output, that are looked at first, because most grids fail there.
_FEW = 16


def partners(inputs: int, channels: int) -> NDArray[np.intp]:
    """Of each weight of an output, the one whose product may be added to its own in one 16-bit lane.

    Weights lie channel first, (channels, positions), and engines multiply them position first: of an even number of
    channels 2i and 2i + 1 are neighbours at each position. An odd number has no such order that holds in every
    engine; the weight itself then stands for any other, which halves the grid.
    """
    index = np.arange(inputs)
    if channels % 2:
        return index
    positions = inputs // channels
    channel, position = index // positions, index % positions
    other = channel ^ 1
    return np.asarray(other * positions + position, np.intp)


def scales(matrix: NDArray[np.float32], other: NDArray[np.intp] | None) -> NDArray[np.float64]:
    """The scale of each output of `matrix` (groups, outputs, inputs), without clipping; with `other` pairs are safe.

    A dead output, whose weights are all so small that they say nothing, gets the scale of its layer's largest: its own
    would make an int32 bias overflow.
    """
    magnitude = np.abs(matrix.astype(np.float64))
    scale = magnitude.max(-1) / LEVELS
    if other is not None:
        scale = np.maximum(scale, (magnitude + magnitude[..., other]).max(-1) / PAIR)
    largest = float(scale.max()) if scale.max() > 0 else 1.0
    return np.where(scale < largest * 1e-6, largest, scale)


def found_scales(matrix: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The scales of the grid that the weights of `matrix` (outputs, inputs) lie on, None where they lie on none.

    Weights that were rounded with any scale are integers of at most 127 times it; of a channel only its greatest
    integer is unknown, and few are possible. So a file needs to carry nothing but its weights.
    """
    if len(matrix) > 2 * _FEW and found_scales(matrix[:_FEW]) is None:  # most matrices lie on none, which a few tell
        return None
    magnitude = np.abs(matrix.astype(np.float64))
    top = magnitude.max(-1)
    scale = np.zeros(len(matrix))
    # The fewest levels that fit: with twice as many the weights would be the same, but not the sums of pairs.
    for greatest in range(1, LEVELS + 1):
        (rows,) = np.nonzero((scale == 0) & (top > 0))
        for columns in (slice(0, _FEW), slice(None)):
            levels = magnitude[rows, columns] / (top[rows, np.newaxis] / greatest)
            rows = rows[(np.abs(levels - np.rint(levels)) < _NEAR).all(-1)]
        scale[rows] = top[rows] / greatest
    if (scale[top > 0] == 0).any():
        return None
    largest = float(scale.max()) if scale.max() > 0 else 1.0
    return np.where(scale == 0, largest, scale)
