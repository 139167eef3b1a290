"""The second pass of YUV frames: one matrix resizes and converts to RGB, as whole numbers of 8 bits.

Its columns are the lines of the first pass, in groups: two lines of luma and their one line of U and V, or one of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat._images.frames.form import FrameForm
from edgefeat._images.frames.pixels import matrix
from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.filters import whole_weights

__all__ = ["LUMA", "SHARED", "SINGLE", "ColorMatrix", "U", "color_matrix"]

Array = NDArray[np.float64]

#: The kinds of lines.
LUMA, U, V = 0, 1, 2

#: Groups: two lines of luma that share their chroma, and one that has its own.
SHARED, SINGLE = (LUMA, LUMA, U, V, U, V), (LUMA, U, V)

#: The share by which luma may have fewer levels than possible, if chroma is then nearer to its share.
_FEWER = 0.85


@dataclass(frozen=True, slots=True)
class ColorMatrix:
    """Whole `weights` (3, resized, lines) from -127 to 127, with one `unit`: a weight stands for `weight * unit`.

    Levels of red, green and blue are sums of `unit * weight * level` over lines, from which black is subtracted if they
    are luma, and 128 if they are chroma. `group` has the kind of each line of a group.
    """

    weights: Array
    unit: float
    group: tuple[int, ...]

    @property
    def luma(self) -> float:
        """What a level of luma adds to red, green and blue."""
        kinds = np.tile(self.group, self.weights.shape[2] // len(self.group))
        return float(self.weights[0, 0, kinds == LUMA].sum() * self.unit)

    @property
    def bias(self) -> Array:
        """What to add to red, green and blue (3,), if nothing is subtracted from chroma."""
        kinds = np.tile(self.group, self.weights.shape[2] // len(self.group))
        return np.asarray(-128 * self.weights[:, 0, kinds != LUMA].sum(axis=1) * self.unit)


def color_matrix(form: FrameForm, resize: Array, group: tuple[int, ...]) -> ColorMatrix:
    """Return the matrix for lines in such groups, whose luma `resize` (resized, lines of luma) resizes.

    Each row of it has the same sum over luma, over U and over V, so plain areas keep their colour. If two rows of
    pixels share a line of chroma, the group has it twice, which halves the weights: they would be three times as large
    as those of luma, and leave it few levels.
    """
    colors, _ = matrix(form.color)
    rows = group.count(LUMA)
    chroma = resize.reshape(len(resize), -1, rows).sum(axis=2)
    ratios = colors / colors[0, 0]
    copies = group.count(U)
    shares = np.abs(ratios[:, 1:]).max() / copies
    largest = max(float(resize.max()), float(chroma.max()) * float(shares))
    luma = _finest(ratios, int((grid.LEVELS - 1) // largest))
    weights = np.zeros((3, len(resize), chroma.shape[1], len(group)))
    for color, kind, places in _kinds(group):
        total = int(np.rint(luma * ratios[color, kind]))
        source = resize if kind == LUMA else chroma
        whole = np.sign(total) * whole_weights(source, abs(total))
        for number, place in enumerate(places):
            # The lines of luma are different ones; those of chroma are copies, and share the weight.
            part = whole[:, number::rows] if kind == LUMA else (whole + number) // copies
            weights[color, :, :, place] = part
    return ColorMatrix(weights.reshape(3, len(resize), -1), colors[0, 0] / luma, group)


def _kinds(group: tuple[int, ...]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield each colour with each kind of line and its places in the group."""
    for color in range(3):
        for kind in (LUMA, U, V):
            yield color, kind, [place for place, one in enumerate(group) if one == kind]


def _finest(ratios: Array, most: int) -> int:
    """Return the number of levels of luma, near `most`, for which those of chroma are nearest to whole numbers."""
    counts = np.arange(max(1, int(most * _FEWER)), most + 1)
    exact = counts[:, np.newaxis, np.newaxis] * ratios
    error = np.abs(exact - np.rint(exact)).max(axis=(1, 2)) / counts
    return int(counts[np.argmin(error)])
