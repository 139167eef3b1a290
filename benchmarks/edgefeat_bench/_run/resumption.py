"""An interrupted run is resumed, if it is still the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgefeat import ArgumentError
from edgefeat_bench._records import Contender, Run


def resumed(path: Path, fresh: Run, contenders: Sequence[Contender], rounds: int) -> Run:
    """Return the run at `path`, or `fresh`, which has nothing measured yet, if there is none. The command is `fresh`'s.

    Raises ArgumentError, which names the difference, for a run of another machine, bundle or edgefeat, other photos
    or other contenders; and for a run that has more than `rounds` rounds, because the command would not be that of its
    times.
    """
    if not path.exists():
        return fresh
    old = Run.read(path)
    aspects = {
        "machine": (old.machine, fresh.machine),
        "bundle": (old.identity, fresh.identity),
        "version of edgefeat": (old.edgefeat, fresh.edgefeat),
        "number of threads": (old.threads, fresh.threads),
        "method of measuring": (old.method, fresh.method),
        "limit for right features": (old.right_cosine, fresh.right_cosine),
        "seed": (old.seed, fresh.seed),
        "set of photos": (old.photos, fresh.photos),
        "choice of contenders": ([one.contender for one in old.results], list(contenders)),
    }
    for aspect, (before, now) in aspects.items():
        if before != now:
            raise ArgumentError(f"{path} is a run with another {aspect}: start a new one, without --resume")
    if old.rounds > rounds:
        raise ArgumentError(
            f"--rounds {rounds} is less than the {old.rounds} complete rounds of {path}: resume it with "
            f"--rounds {old.rounds}, or start a new run, without --resume"
        )
    return replace(old, command=fresh.command)
