"""A whole folder at once on all cores: pictures a second, starting included."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgefeat import EdgefeatError
from edgefeat_bench._measure.programs import edgefeat_program, programs, run_program
from edgefeat_bench._records import Bulk
from edgefeat_bench._setup.photos import columns
from edgefeat_bench._setup.setup import Setup

__all__ = ["bulk"]

_SIZE = "1600x1200"
_DISTINCT = 24


def bulk(setup: Setup, tell: Callable[[str], None]) -> tuple[Bulk, ...]:
    """Every program that takes a folder, in turn, on so many JPEGs of 2 megapixels; one that fails is left out.

    The files are in the page cache.
    """
    settings = setup.settings
    count = settings.extent.bulk_pictures
    distinct = columns(settings.photos, (_SIZE,), min(_DISTINCT, count), settings.prepared / "photos")[0].files
    run = [
        *programs(setup, folder=True),
        edgefeat_program(setup, "edgefeat extract", ("-o",), ".npy"),
        edgefeat_program(setup, "edgefeat extract --into", ("--into",), ".db"),
    ]
    seconds: dict[str, list[float]] = {program.name: [] for program in run}
    peaks = dict.fromkeys(seconds, 0)
    failed: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="edgefeat-bench-") as scratch:
        folder = Path(scratch) / "photos"
        folder.mkdir()
        for index in range(count):
            # Each a file of its own: none is known again by its content.
            data = Path(distinct[index % len(distinct)]).read_bytes()
            (folder / f"{index:05}.jpg").write_bytes(data + index.to_bytes(4, "big"))
        os.sync() if hasattr(os, "sync") else None
        for turn in range(settings.extent.bulk_rounds):
            for place in np.random.default_rng([settings.seed, turn, 1]).permutation(len(run)):
                program = run[place]
                if program.name in failed:
                    continue
                tell(f"{count} photos with {program.name}, turn {turn + 1} of {settings.extent.bulk_rounds}")
                try:
                    took, peak = run_program(program, str(folder), Path(scratch), setup.environment)
                except EdgefeatError as error:
                    tell(f"left out: {error}")
                    failed.add(program.name)
                    continue
                seconds[program.name].append(round(took, 3))
                peaks[program.name] = max(peaks[program.name], peak)
    return tuple(
        Bulk(one.name, one.side, count, tuple(seconds[one.name]), peaks[one.name])
        for one in run
        if one.name not in failed
    )
