"""What `edgefeat tune` chooses for a number of threads, in a cache of its own: the user's cache is not changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import edgefeat
from edgefeat import EdgefeatError
from edgefeat._bundle.json_records import from_json, to_json
from edgefeat._engines.device.cache import tuned_file
from edgefeat._engines.tuning_record import Candidate, Tuning
from edgefeat_bench._processes import run_module


def is_tuned(bundle: edgefeat.Bundle, folder: Path) -> bool:
    """Return whether `folder` is such a cache, complete."""
    return (folder / tuned_file(bundle.identity)).exists()


def tune(bundle: edgefeat.Bundle, folder: Path, threads: int) -> None:
    """Make `folder` a cache in which `load` finds the fastest choice of at most so many threads.

    It is measured again each time, in a process of its own: engines leave threads behind. The folder appears when it is
    complete. Raises EdgefeatError.
    """
    partial = folder.with_name(f"partial-{folder.name}")
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        run_module("edgefeat", "tune", str(bundle.path), environment={"EDGEFEAT_CACHE": str(partial)})
    except EdgefeatError as error:
        raise EdgefeatError(f"edgefeat tune failed: {error}") from error
    file = partial / tuned_file(bundle.identity)
    tuning = from_json(Tuning, json.loads(file.read_text()))
    kept = tuple(one for one in tuning.candidates if one.threads <= threads)
    if not any(one.status == "ok" for one in kept):
        # Otherwise `load` would use its untuned choice, and the run would call it tuned.
        tried = sorted({one.threads for one in tuning.candidates if one.threads})
        raise EdgefeatError(f"no choice has at most {threads} threads (tried: {', '.join(map(str, tried))})")
    file.write_text(json.dumps(to_json(replace(tuning, candidates=kept)), indent=1))
    partial.rename(folder)


def tuned_alone(bundle: edgefeat.Bundle, folder: Path) -> Candidate | None:
    """Return what `load` finds in such a cache for one thread; None if nothing was tuned."""
    if not is_tuned(bundle, folder):
        return None
    tuning = from_json(Tuning, json.loads((folder / tuned_file(bundle.identity)).read_text()))
    working = [one for one in tuning.candidates if one.status == "ok"]
    return min(working, key=lambda one: one.threads != 1, default=None)
