"""Search in a feature database: exact, or by an index of it."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import ArgumentError
from edgefeat._search.ranking import CHUNK, Neighbour, check_queries, rank
from edgefeat._store.reader import FeatureStore

__all__ = ["INDEXED_FROM", "indexed", "search"]

#: From so many photos on, the index is worth its building: an exact search reads the whole database each time.
INDEXED_FROM = 1_000_000


def search(
    store: FeatureStore,
    query: NDArray[np.float32],
    k: int = 10,
    *,
    tap: str | None = None,
    index: bool | None = None,
    progress: bool = False,
) -> list[list[Neighbour]]:
    """For each query its `k` nearest photos in `store` by cosine, nearest first.

    `query` is a feature (D,) or several (Q, D), of the extractor that `extractor_for(store)` gives. The search is
    exact, in one pass over the database and the memory of a few thousand photos. With `index` it goes through an
    approximate index, which is kept beside the database and built where it is missing or stale; the cosines are exact
    all the same. None takes the index for databases of a million photos if it is installed. `progress` shows a bar on
    standard error while the index is built. Raises ArgumentError for
    queries that are not finite or of another length, MissingExtraError where `index` is not installed, StoreError.
    """
    if k < 1:
        raise ArgumentError(f"k is {k} (allowed: 1 or more)")
    queries = np.atleast_2d(np.asarray(query, np.float32))
    sizes = {one.name: int(np.prod(one.shape)) for one in store.taps}
    if tap is not None and tap not in sizes:
        raise ArgumentError(f"tap {tap!r} is not in {store.path} (it has: {', '.join(sizes)})")
    if tap is None and len(sizes) > 1:
        raise ArgumentError(f"{store.path} has the taps {', '.join(sizes)}: name one")
    check_queries(queries, sizes[tap] if tap is not None else next(iter(sizes.values())))
    if not np.isfinite(queries).all():
        raise ArgumentError("a query is not finite, it has NaN or infinity (allowed: finite numbers)")
    if indexed(store, index):
        from edgefeat._search.index import Index

        return Index.of(store, tap, progress=progress).search(queries, k)
    return rank(store.chunks(tap, rows=CHUNK), queries, k)


def indexed(store: FeatureStore, index: bool | None) -> bool:
    """Whether `search` goes through an index."""
    if index is not None:
        return index
    return len(store) >= INDEXED_FROM and importlib.util.find_spec("usearch") is not None
