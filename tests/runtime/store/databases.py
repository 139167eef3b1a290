"""Feature databases that tests make, what they read of them, and the lines that `extract --into --json` prints."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import edgefeat

__all__ = ["end", "events", "made", "rows", "write_album", "write_many"]


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


def made(bundle: Path, folder: Path, database: Path, *options: str) -> Path:
    """The database of the folder's pictures, by the command line."""
    command = [sys.executable, "-m", "edgefeat", "extract", bundle, folder, "--into", database, *options]
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return database


def write_album(folder: Path) -> Path:
    """40 small pictures in `folder`, four variations of each of ten."""
    random = np.random.default_rng(11)
    for number in range(40):
        if number % 4 == 0:
            coarse = random.integers(0, 256, (4, 5, 3))
        picture = Image.fromarray((coarse * 0.92 + random.integers(0, 20, coarse.shape)).astype(np.uint8))
        picture.resize((60, 48)).save(folder / f"{number:02d}.png")
    return folder


def write_many(database: Path, count: int, dimensions: int, zeros: int = 0) -> NDArray[np.float32]:
    """A database of features at random around a few hundred centres, by the store's own writer."""
    from edgefeat._store.encoding import encode
    from edgefeat._store.records import Photo, StoreIdentity, StoreTap, Versions
    from edgefeat._store.writer import StoreWriter

    random = np.random.default_rng(7)
    centres = random.standard_normal((300, dimensions)).astype(np.float32)
    taps = (StoreTap("features", (dimensions,)),)
    identity = StoreIdentity("many", "/none", "ab" * 32, "tflite-float32", "litert", "fast", "float32", taps)
    writer, _ = StoreWriter.open(database)
    rows = []
    try:
        writer.begin(identity, Versions("1", "2", "3"))
        for number in range(count):
            noise = random.standard_normal(dimensions, np.float32)
            rows.append(centres[number % len(centres)] + noise)
            if number < zeros:
                rows[-1] = np.zeros(dimensions, np.float32)
            scales, data = encode([rows[-1]], "float32")
            photo = Photo(f"/photos/{number:06d}.jpg", number, 0, f"{number:064x}", "ok", None, writer.run)
            writer.put(photo, scales, data)
        writer.commit()
    finally:
        writer.close()
    return np.stack(rows)
