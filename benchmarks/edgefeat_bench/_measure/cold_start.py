"""From nothing to one feature: a fresh process each time, its time, its memory, and what has to be installed for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgefeat import EdgefeatError
from edgefeat_bench._measure.installed_size import edgefeat_bytes, installed_bytes
from edgefeat_bench._measure.programs import edgefeat_program, programs, run_program
from edgefeat_bench._records import ColdStart
from edgefeat_bench._setup.setup import Setup

__all__ = ["cold_starts"]


def cold_starts(setup: Setup, photo: str, tell: Callable[[str], None]) -> tuple[ColdStart, ...]:
    """Every program that can run here in turn, after one start of each that is not counted; one that fails is left out.

    Whole processes: interpreter, imports, model, one photo, feature written. The start that is thrown away lets
    edgefeat try its engine and Python write its bytecode. edgefeat is as `load` takes it where nobody has tuned.
    """
    run = [*programs(setup, folder=False), edgefeat_program(setup, "edgefeat extract", ("-o",), ".npy")]
    seconds: dict[str, list[float]] = {program.name: [] for program in run}
    peaks = dict.fromkeys(seconds, 0)
    failed: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="edgefeat-bench-") as scratch:
        environment = {"EDGEFEAT_CACHE": f"{scratch}/cache"}
        for turn in range(setup.settings.extent.starts + 1):
            tell(f"cold starts: turn {turn} of {setup.settings.extent.starts}")
            for place in np.random.default_rng([setup.settings.seed, turn]).permutation(len(run)):
                program = run[place]
                if program.name in failed:
                    continue
                try:
                    took, peak = run_program(program, photo, Path(scratch), environment)
                except EdgefeatError as error:
                    tell(f"left out: {error}")
                    failed.add(program.name)
                    continue
                peaks[program.name] = max(peaks[program.name], peak)
                if turn:
                    seconds[program.name].append(round(took, 4))
    own = edgefeat_bytes()
    return tuple(
        ColdStart(
            program.name,
            program.side,
            tuple(seconds[program.name]),
            peaks[program.name],
            installed_bytes(program.distributions) + (own if program.side == "edgefeat" else 0),
        )
        for program in run
        if program.name not in failed
    )
