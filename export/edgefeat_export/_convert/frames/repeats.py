"""A resize whose weights repeat, as they do from 480 to 224: every 7 resized rows, 15 rows of the frame further on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kernel", "Phase", "Repeats", "repeats"]

Array = NDArray[np.float64]

#: Each row of a period is an operator, which should have some rows to make.
_MOST_PERIOD, _FEWEST_PERIODS = 32, 4
#: XNNPACK has depthwise convolutions of 9 weights for uint8; the next larger one has 25.
_MOST_WEIGHTS = 9
#: Rows at the edges of the image, each of which is an operator, too.
_MOST_EDGES = 8
_NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class Kernel:
    """The `weights` of a resized row on consecutive rows of the frame, from row `first` on."""

    first: int
    weights: Array


@dataclass(frozen=True, slots=True)
class Phase:
    """A convolution of an image with the weights of `kernel`, and `padding` rows before and after it.

    Its rows are, one part after the other, those of the convolution in a range, or one of a kernel of its own.
    """

    kernel: Kernel
    padding: tuple[int, int]
    parts: tuple[range | Kernel, ...]


@dataclass(frozen=True, slots=True)
class Repeats:
    """The weights of a resize: those of resized row `len(kernels) * n + i` are `kernels[i]`, `step * n` rows later.

    They are as if the frame went on beyond its edges, so `first` of a kernel may be negative. The resized rows in
    `edges` have weights of their own.
    """

    step: int
    kernels: tuple[Kernel, ...]
    edges: dict[int, Kernel]

    @property
    def early(self) -> int:
        """The fewest steps by which a convolution can begin before its kernel's first row, and before the image's."""
        return max(0, *(-(-kernel.first // self.step) for kernel in self.kernels))

    @property
    def largest(self) -> float:
        """The largest weight."""
        return max(float(one.weights.max()) for one in (*self.kernels, *self.edges.values()))

    def phases(self, size: int, rows: int) -> Iterator[Phase]:
        """Yield for each kernel what makes its resized rows, of `size` in all, from an image of so many `rows`.

        A convolution begins at the first row of the image, not at that of its kernel: with some rows of padding, it is
        there after `early` steps. So the first `early` rows of each phase are of no use.
        """
        period, end = len(self.kernels), self.early + size // len(self.kernels)
        for number, kernel in enumerate(self.kernels):
            last = kernel.first + self.step * (size // period - 1) + len(kernel.weights)
            own = {self.early + row // period: edge for row, edge in self.edges.items() if row % period == number}
            parts: list[range | Kernel] = []
            begin = 0
            for place in [*sorted(own), end]:
                if place > begin:
                    parts.append(range(begin, place))
                if place in own:
                    parts.append(own[place])
                begin = place + 1
            yield Phase(kernel, (self.early * self.step - kernel.first, max(0, last - rows)), tuple(parts))


def repeats(weights: Array) -> Repeats | None:
    """Return how `weights` (resized, source), from top to bottom, repeat, or None if they do not, or not often."""
    size = len(weights)
    rows = [_kernel(row) for row in weights]
    if max(len(row.weights) for row in rows) > _MOST_WEIGHTS:
        return None
    for period in range(1, min(_MOST_PERIOD, size // _FEWEST_PERIODS) + 1):
        before = size // period // 2
        middle = before * period
        step = rows[middle].first - rows[middle - period].first
        if size % period or step < 1:
            continue
        kernels = tuple(Kernel(one.first - before * step, one.weights) for one in rows[middle : middle + period])
        edges = {
            number: row
            for number, row in enumerate(rows)
            if not _equal(row, kernels[number % period], number // period * step)
        }
        if len(edges) <= _MOST_EDGES:
            return Repeats(step, kernels, edges)
    return None


def _kernel(row: Array) -> Kernel:
    (used,) = np.nonzero(row > _NEAR)
    return Kernel(int(used[0]), row[used[0] : used[-1] + 1])


def _equal(row: Kernel, kernel: Kernel, moved: int) -> bool:
    same = row.first == kernel.first + moved and len(row.weights) == len(kernel.weights)
    return same and bool(np.allclose(row.weights, kernel.weights, rtol=0, atol=_NEAR))
