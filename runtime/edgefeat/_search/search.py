"""Search in a feature database, exact or with an index."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import ArgumentError, checked_type, checked_whole
from edgefeat._search.ranking import CHUNK, Neighbour, check_queries, rank
from edgefeat._store.reader import FeatureStore

__all__ = ["INDEXED_FROM", "indexed", "search"]

#: From this many photos on, an index is worth building: an exact search reads the whole database each time.
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
    """Return for each query its `k` nearest photos in `store` by cosine, nearest first.

    `query` is a feature (D,) or several (Q, D) from the extractor that `extractor_for(store)` returns. The search is
    exact: one pass over the database, with a few thousand photos in memory. With `index` it uses an approximate index,
    which is stored beside the database and built if missing or stale; the cosines are still exact. By default the index
    is used from a million photos on, if it is installed. `progress` shows a bar on standard error while the index is
    built. Raises ArgumentError for queries that are not finite or have another length, MissingExtraError if `index` is
    not installed, StoreError.
    """
    checked_type("store", store, (FeatureStore,), "a FeatureStore, such as FeatureStore.open('features.db')")
    k = checked_whole("k", k)
    queries = _queries(query)
    sizes = {one.name: int(np.prod(one.shape)) for one in store.taps}
    if tap is not None and tap not in sizes:
        raise ArgumentError(f"tap {tap!r} is not in {store.path} (it has: {', '.join(sizes)})")
    if tap is None and len(sizes) > 1:
        raise ArgumentError(f"{store.path} has several taps ({', '.join(sizes)}): choose one")
    check_queries(queries, sizes[tap] if tap is not None else next(iter(sizes.values())))
    if not np.isfinite(queries).all():
        raise ArgumentError("a query is not finite, it has NaN or infinity (allowed: finite numbers)")
    if indexed(store, index):
        from edgefeat._search.index import Index

        return Index.of(store, tap, progress=progress).search(queries, k)
    return rank(store.chunks(tap, rows=CHUNK), queries, k)


def _queries(query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the queries as float32 (Q, D). Raises ArgumentError for anything but numbers."""
    try:
        return np.atleast_2d(np.asarray(query, np.float32))
    except (TypeError, ValueError):
        raise ArgumentError(
            f"a query of type {type(query).__name__} is not a feature (allowed: numbers, (D,) or (Q, D)): for a photo, "
            "give extractor_for(store).extract(photo)"
        ) from None


def indexed(store: FeatureStore, index: bool | None) -> bool:
    """Return whether `search` uses an index."""
    if index is not None:
        return index
    return len(store) >= INDEXED_FROM and importlib.util.find_spec("usearch") is not None
