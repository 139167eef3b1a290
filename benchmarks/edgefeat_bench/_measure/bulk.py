"""A whole folder on all cores: photos per second, start of the process included."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from edgefeat_bench._measure.programs import Program, edgefeat_program, run_in_turns, scripts
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
        cache, seed = {"EDGEFEAT_CACHE": f"{scratch}/cache"}, [settings.seed, 1]
        # edgefeat probes an engine once for each cache, which would be part of its first turn.
        first = edgefeat_program(setup, "edgefeat extract, one photo", "-o", ".npy", cache)
        run_in_turns([first], distinct[0], Path(scratch), turns=1, seed=seed, tell=tell)
        programs = [*scripts(setup, folder=True), *own_programs(setup, cache)]
        done = run_in_turns(programs, str(folder), Path(scratch), turns=turns, seed=seed, tell=tell)
    return tuple(Bulk(one.name, one.side, count, tuple(one.seconds), one.peak) for one in done)


def own_programs(setup: Setup, untuned: Mapping[str, str]) -> list[Program]:
    """Return edgefeat's programs. `untuned` is an environment with an empty cache.

    In one of them edgefeat has what `edgefeat tune` chose for processes of one thread, if it was tuned.
    """
    found = [
        edgefeat_program(setup, "edgefeat extract", "-o", ".npy", untuned),
        edgefeat_program(setup, "edgefeat extract --into", "--into", ".db", untuned),
    ]
    choice = None if setup.untuned else tuned_alone(setup.bundle, Path(setup.environment["EDGEFEAT_CACHE"]))
    if choice is not None:
        name = f"edgefeat extract, tuned: {choice.variant} on {choice.engine}"
        found.append(edgefeat_program(setup, name, "-o", ".npy", setup.environment, choice.engine))
    return found
