"""Start of a new process to the first feature: time, memory, and the size of what has to be installed."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgefeat_bench._installed import installed_bytes
from edgefeat_bench._measure.programs import edgefeat_program, run_in_turns, scripts
from edgefeat_bench._records import ColdStart
from edgefeat_bench._setup.setup import Setup

# One wheel has all three.
_OWN = ("edgefeat", "edgefeat_export", "edgefeat_bench")


def cold_starts(setup: Setup, photo: str, tell: Callable[[str], None]) -> tuple[ColdStart, ...]:
    """Run every program that can run here in turn; one that fails is skipped.

    Whole processes: interpreter, imports, model, one photo, feature written. The first start of each is not counted:
    in it edgefeat probes its engine and Python writes its bytecode. edgefeat uses its untuned default.
    """
    turns, seed = setup.settings.extent.starts + 1, [setup.settings.seed]
    with tempfile.TemporaryDirectory(prefix="edgefeat-bench-") as scratch:
        untuned = {"EDGEFEAT_CACHE": f"{scratch}/cache"}
        programs = [*scripts(setup, folder=False), edgefeat_program(setup, "edgefeat extract", "-o", ".npy", untuned)]
        done = run_in_turns(programs, photo, Path(scratch), turns=turns, seed=seed, tell=tell)
    own = _edgefeat_bytes()
    return tuple(
        ColdStart(
            *(one.name, one.side, tuple(one.seconds[1:]), one.peak),
            installed_bytes=installed_bytes(one.distributions) + (own if one.side == "edgefeat" else 0),
            isolated=True,
        )
        for one in done
    )


def _edgefeat_bytes() -> int:
    specs = [importlib.util.find_spec(name) for name in _OWN]
    folders = [folder for spec in specs if spec is not None for folder in spec.submodule_search_locations or ()]
    return sum(_size(path) for folder in folders for path in Path(folder).rglob("*"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
