"""A whole folder on all cores: photos per second, start of the process included."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgefeat_bench._measure.programs import edgefeat_program, run_in_turns, scripts
from edgefeat_bench._records import Bulk
from edgefeat_bench._setup.photos import photos_of_sizes
from edgefeat_bench._setup.setup import Setup

_SIZE = "1600x1200"
_DISTINCT = 24


def bulk(setup: Setup, tell: Callable[[str], None]) -> tuple[Bulk, ...]:
    """Run every program that takes a folder, in turn, on JPEGs of 2 megapixels in the page cache.

    One that fails is skipped.
    """
    settings = setup.settings
    count, turns = settings.extent.bulk_pictures, settings.extent.bulk_rounds
    few = min(_DISTINCT, count)
    distinct = photos_of_sizes(settings.photos, (_SIZE,), few, settings.prepared / "photos")[0].files
    programs = [
        *scripts(setup, folder=True),
        edgefeat_program(setup, "edgefeat extract", "-o", ".npy"),
        edgefeat_program(setup, "edgefeat extract --into", "--into", ".db"),
    ]
    with tempfile.TemporaryDirectory(prefix="edgefeat-bench-") as scratch:
        folder = Path(scratch) / "photos"
        folder.mkdir()
        for index in range(count):
            # All contents differ: no program can recognize a photo.
            data = Path(distinct[index % len(distinct)]).read_bytes()
            (folder / f"{index:05}.jpg").write_bytes(data + index.to_bytes(4, "big"))
        os.sync() if hasattr(os, "sync") else None
        tell(f"a folder of {count} photos")
        environment, seed = setup.environment, [settings.seed, 1]
        done = run_in_turns(programs, str(folder), Path(scratch), environment, turns=turns, seed=seed, tell=tell)
    return tuple(Bulk(one.name, one.side, count, tuple(one.seconds), one.peak) for one in done)
