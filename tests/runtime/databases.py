"""What tests read of feature databases and of the lines that `edgefeat extract --into --json` prints."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import edgefeat

__all__ = ["end", "events", "rows"]


def rows(database: Path) -> dict[str, tuple[Any, ...]]:
    """Everything the database says of each photo but the run, by path."""
    with edgefeat.FeatureStore.open(database) as store:
        features = {
            path: row.tobytes() for paths, chunk in store.chunks() for path, row in zip(paths, chunk, strict=True)
        }
        photos = list(store.rows())
    assert len({photo.path for photo in photos}) == len(photos)
    return {
        photo.path: (
            photo.size,
            photo.mtime_ns,
            photo.sha256,
            photo.status,
            photo.error,
            hashlib.sha256(features.get(photo.path, b"")).hexdigest(),
        )
        for photo in photos
    }


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The lines of JSON on standard output."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def end(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The last line of JSON."""
    last = events(done)[-1]
    assert last["event"] == "end"
    return last
