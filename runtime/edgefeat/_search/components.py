"""Connected components, from pairs that arrive in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Components"]


class Components:
    """The numbers 0 to `count` - 1, each its own component until `join` merges some."""

    def __init__(self, count: int) -> None:
        self._labels = np.arange(count)

    def join(self, ones: NDArray[np.intp], others: NDArray[np.intp]) -> None:
        """Merge the components of each of `ones` and of the number at the same place in `others`."""
        pairs = np.stack([self._labels[ones], self._labels[others]])
        pairs = np.unique(pairs[:, pairs[0] != pairs[1]], axis=1)  # most pairs of near-duplicates are already joined
        if not pairs.shape[1]:
            return
        parents = {int(label): int(label) for label in np.unique(pairs)}
        for one, other in pairs.T.tolist():
            first, second = sorted((_root(parents, one), _root(parents, other)))
            parents[second] = first
        old = np.array(sorted(parents))
        new = np.array([_root(parents, label) for label in old.tolist()])
        places = np.minimum(np.searchsorted(old, self._labels), len(old) - 1)
        self._labels = np.where(old[places] == self._labels, new[places], self._labels)

    def groups(self) -> list[list[int]]:
        """Return the components with two or more members, sorted by their first member."""
        order = np.argsort(self._labels, kind="stable")
        starts = np.flatnonzero(np.diff(self._labels[order], prepend=-1))
        return [part.tolist() for part in np.split(order, starts[1:]) if len(part) > 1]


def _root(parents: dict[int, int], label: int) -> int:
    while parents[label] != label:
        parents[label] = parents[parents[label]]
        label = parents[label]
    return label
