"""A whole folder on all cores: photos per second, start of the process included."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgefeat_bench._measure.programs import Program, edgefeat_program, run_in_turns, run_program, scripts
from edgefeat_bench._records import Bulk
from edgefeat_bench._setup.photos import photos_of_sizes
from edgefeat_bench._setup.setup import Setup
from edgefeat_bench._setup.tuning import tuned_alone

_SIZE = "1600x1200"
_DISTINCT = 24


def bulk(setup: Setup, tell: Callable[[str], None]) -> tuple[Bulk, ...]:
    """Run every program that takes a folder, in turn, on JPEGs of 2 megapixels in the page cache.

    One that fails is skipped. edgefeat runs its untuned default, as in a new process, and once more what `edgefeat
    tune` chose, under a name that says so: that may be an int8 file, which no other program has.
    """
    settings = setup.settings
    count, turns = settings.extent.bulk_pictures, settings.extent.bulk_rounds
    few = min(_DISTINCT, count)
    distinct = photos_of_sizes(settings.photos, (_SIZE,), few, settings.prepared / "photos")[0].files
    with tempfile.TemporaryDirectory(prefix="edgefeat-bench-") as scratch:
        folder = Path(scratch) / "photos"
        folder.mkdir()
        for index in range(count):
            # All contents differ: no program can recognize a photo.
            data = Path(distinct[index % len(distinct)]).read_bytes()
            (folder / f"{index:05}.jpg").write_bytes(data + index.to_bytes(4, "big"))
        os.sync() if hasattr(os, "sync") else None
        tell(f"a folder of {count} photos")
        untuned = {"EDGEFEAT_CACHE": f"{scratch}/cache"}
        programs = [
            *scripts(setup, folder=True),
            edgefeat_program(setup, "edgefeat extract", "-o", ".npy", untuned),
            edgefeat_program(setup, "edgefeat extract --into", "--into", ".db", untuned),
            *_tuned(setup),
        ]
        # edgefeat probes an engine once for each cache, which would be part of its first turn.
        run_program(edgefeat_program(setup, "edgefeat extract", "-o", ".npy", untuned), distinct[0], Path(scratch))
        seed = [settings.seed, 1]
        done = run_in_turns(programs, str(folder), Path(scratch), turns=turns, seed=seed, tell=tell)
    return tuple(Bulk(one.name, one.side, count, tuple(one.seconds), one.peak) for one in done)


def _tuned(setup: Setup) -> list[Program]:
    """Return edgefeat with what it chooses after `edgefeat tune` for its processes of one thread, if it was tuned."""
    if setup.untuned or (choice := tuned_alone(setup.bundle, Path(setup.environment["EDGEFEAT_CACHE"]))) is None:
        return []
    name = f"edgefeat extract, tuned: {choice.variant} on {choice.engine}"
    return [edgefeat_program(setup, name, "-o", ".npy", setup.environment, choice.engine)]
