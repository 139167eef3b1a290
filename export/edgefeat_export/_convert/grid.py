"""The grid of int8 weights: one scale per output channel, integers from -127 to 127."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "PAIR", "found_scales", "partners", "scales"]

LEVELS = 127

#: The largest allowed sum of the magnitudes of two weights that share a 16-bit lane.
#:
#: x86 processors without VNNI multiply uint8 activations by int8 weights with VPMADDUBSW, which adds two products and
#: saturates at 32767: 255 * 128 = 32640 is below.
PAIR = 128

#: How far from an integer a weight on the grid may be; float32 resolves a hundredth of that.
_NEAR = 1e-4

#: The number of outputs, and of weights per output, to test first, because most grids fail there.
_FEW = 16

#: Weights that are tested at once, in float64.
_VALUES = 1 << 22


def partners(inputs: int, channels: int) -> NDArray[np.intp]:
    """Return, for each weight of an output, the index of the weight that shares its 16-bit lane.

    Weights are stored channel first, (channels, positions), and engines multiply them position first: with an even
    number of channels, 2i and 2i + 1 are neighbours at each position. For an odd number the order depends on the
    engine; each weight is then its own partner, which halves the grid.
    """
    index = np.arange(inputs)
    if channels % 2:
        return index
    positions = inputs // channels
    channel, position = index // positions, index % positions
    other = channel ^ 1
    return np.asarray(other * positions + position, np.intp)


def scales(matrix: NDArray[np.float32], other: NDArray[np.intp] | None) -> NDArray[np.float64]:
    """Return the scale of each output of `matrix` (groups, outputs, inputs), without clipping.

    With `other`, the partners, the sum of each pair is limited, too. A dead output, whose weights are all negligible,
    gets the scale of the layer's largest output: its own scale would make an int32 bias overflow.
    """
    magnitude = np.abs(matrix.astype(np.float64))
    scale = magnitude.max(-1) / LEVELS
    if other is not None:
        scale = np.maximum(scale, (magnitude + magnitude[..., other]).max(-1) / PAIR)
    largest = float(scale.max()) if scale.max() > 0 else 1.0
    return np.where(scale < largest * 1e-6, largest, scale)


def found_scales(matrix: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return the scales of the grid that the weights of `matrix` (outputs, inputs) lie on, or None if they lie on none.

    Weights rounded with any scale are integers up to 127 times that scale. Only the largest integer of each channel is
    unknown, and few values are possible. So a file needs to contain nothing but its weights.
    """
    parts = []
    rows = _FEW  # most matrices lie on none, which a few outputs show
    start = 0
    while start < len(matrix):
        part = _channel_scales(matrix[start : start + rows])
        if part is None:
            return None
        parts.append(part)
        start += rows
        rows = max(_FEW, _VALUES // max(matrix.shape[1], 1))
    scale = np.concatenate([*parts, np.zeros(0)])
    largest = float(scale.max()) if len(scale) and scale.max() > 0 else 1.0
    return np.where(scale == 0, largest, scale)


def _channel_scales(matrix: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Return the scale of each output, 0 for one without weights, or None if the weights lie on no grid."""
    magnitude = np.abs(matrix.astype(np.float64))
    top = magnitude.max(-1)
    scale = np.zeros(len(matrix))
    # Use the fewest levels that fit: twice as many would give the same weights, but larger sums of pairs.
    for greatest in range(1, LEVELS + 1):
        (rows,) = np.nonzero((scale == 0) & (top > 0))
        for columns in (slice(0, _FEW), slice(None)):
            levels = magnitude[rows, columns] / (top[rows, np.newaxis] / greatest)
            rows = rows[(np.abs(levels - np.rint(levels)) < _NEAR).all(-1)]
        scale[rows] = top[rows] / greatest
    return None if (scale[top > 0] == 0).any() else scale
