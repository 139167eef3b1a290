"""Exact nearest neighbours by cosine, one chunk of features in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import ArgumentError

__all__ = ["CHUNK", "Neighbour", "check_queries", "rank", "unit"]

#: Photos in memory at a time: 5 MB with 1,280 values each, and several times as much while decoding.
CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A photo and the cosine of its feature to the query's: 1 means the same direction."""

    path: str
    cosine: float


class _Best:
    """The best `count` photos so far for one query. Among equal cosines, earlier photos come first."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._cosines = np.zeros(0, np.float32)
        self._paths: list[str] = []

    def add(self, paths: Sequence[str], cosines: NDArray[np.float32]) -> None:
        if len(self._paths) == self._count:
            places = np.flatnonzero(cosines > self._cosines[-1])
        elif len(cosines) > self._count:
            # Partition first: sorting a whole chunk for each of many queries would be slower than reading it.
            least = np.partition(cosines, len(cosines) - self._count)[len(cosines) - self._count]
            places = np.flatnonzero(cosines >= least)
        else:
            places = np.arange(len(cosines))
        if not len(places):
            return
        joined = np.concatenate([self._cosines, cosines[places]])
        order = np.argsort(-joined, kind="stable")[: self._count]
        held = len(self._paths)
        self._paths = [self._paths[i] if i < held else paths[places[i - held]] for i in order.tolist()]
        self._cosines = joined[order]

    def neighbours(self) -> list[Neighbour]:
        cosines = np.clip(self._cosines, -1, 1).tolist()  # rounding may exceed 1 slightly
        return [Neighbour(path, cosine) for path, cosine in zip(self._paths, cosines, strict=True)]


def rank(
    chunks: Iterable[tuple[Sequence[str], NDArray[np.float32]]], queries: NDArray[np.float32], count: int
) -> list[list[Neighbour]]:
    """Return for each row of `queries` (Q, D) its `count` nearest photos, nearest first.

    Among equal cosines, earlier photos come first. `chunks` are paths and features (n, D), as from
    `FeatureStore.chunks`. A feature of zeros has cosine 0 to everything.
    """
    if count < 1:
        raise ArgumentError(f"k is {count} (allowed: 1 or more)")
    wanted = unit(queries)
    best = [_Best(count) for _ in wanted]
    for paths, features in chunks:
        check_queries(queries, features.shape[1])
        for one, cosines in zip(best, wanted @ unit(features).T, strict=True):
            one.add(paths, cosines)
    return [one.neighbours() for one in best]


def unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows divided by their length, float32. Zero rows stay zero."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(lengths == 0, 1, lengths), np.float32)


def check_queries(queries: NDArray[np.float32], dimensions: int) -> None:
    """Raise ArgumentError if the queries do not have the database's number of dimensions."""
    if queries.ndim != 2 or queries.shape[1] != dimensions:
        raise ArgumentError(f"queries of shape {queries.shape} (allowed here: ({dimensions},) or (Q, {dimensions}))")
