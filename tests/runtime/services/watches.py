"""`edgefeat watch` as the tests start it, and what it wrote."""

from __future__ import annotations

import os
from pathlib import Path

import edgefeat

FAST = ("--settle", "0.2", "--workers", "1")


def watching(bundle: Path, folder: Path, *options: str | Path) -> tuple[str | Path, ...]:
    return ("watch", bundle, folder, *FAST, *options)


def paths(database: Path) -> set[str]:
    """The names of the photos with features; nothing while the database does not exist or is being written."""
    try:
        with edgefeat.FeatureStore.open(database) as store:
            return {os.path.basename(path) for path in store.paths()}
    except edgefeat.StoreError:
        return set()
