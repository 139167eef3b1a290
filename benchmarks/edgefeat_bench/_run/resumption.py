"""A run that was interrupted is gone on with, if it is still the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgefeat import ArgumentError
from edgefeat_bench._records import Contender, Run

__all__ = ["resumed"]


def resumed(path: Path, fresh: Run, contenders: Sequence[Contender]) -> Run:
    """The run at `path`, to be gone on with in the place of `fresh`, which has nothing yet; `fresh` if none is there.

    Raises ArgumentError, naming what differs, for a run of another machine, bundle or edgefeat, other pictures or
    other contenders.
    """
    if not path.exists():
        return fresh
    old = Run.read(path)
    told = {
        "machine": (old.machine, fresh.machine),
        "bundle": (old.identity, fresh.identity),
        "version of edgefeat": (old.edgefeat, fresh.edgefeat),
        "number of threads": (old.threads, fresh.threads),
        "seed": (old.seed, fresh.seed),
        "set of pictures": (old.photos, fresh.photos),
        "choice of contenders": ([one.contender for one in old.results], list(contenders)),
    }
    for what, (before, now) in told.items():
        if before != now:
            raise ArgumentError(f"{path} is a run with another {what}: start a new one, without --resume")
    return old
