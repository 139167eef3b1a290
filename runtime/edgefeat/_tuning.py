"""Measures which variant, engine and number of threads is fastest on this device."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle import Bundle
from edgefeat._device import processor_key, write_cache
from edgefeat._errors import EngineError
from edgefeat._gate import shortfall
from edgefeat._manifest import Gate, Variant
from edgefeat._records import to_json
from edgefeat._selection import Choice, available_cores, candidates
from edgefeat._trial import Trial, run_trial
from edgefeat._tuned import Candidate, Tuning, tuned_file

__all__ = ["tune"]

_PASSES = 3
_SECONDS = 0.7


def tune(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    gate: Gate | None = None,
    pictures: NDArray[np.uint8] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Tuning:
    """Every installed engine x variant x number of threads, each timed in processes of its own, in turn.

    Candidates below `gate` (the bundle's own by default) are left out. `pictures` are prepared, uint8 (N, H, W, 3); the
    golden ones by default. The result is kept in the user's cache folder, where `load` finds it. Raises EngineError
    where no candidate works. `tell` hears of each candidate as it is tried.
    """
    import tempfile  # costs an import of edgefeat 10 ms

    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    with tempfile.TemporaryDirectory(prefix="edgefeat-tune-") as scratch:
        file = None
        if pictures is not None:
            file = str(Path(scratch) / "pictures.npy")
            np.save(file, pictures)
        found = _measured(opened, gate or opened.manifest.gate, file, tell or _ignore)
    ordered = sorted(found, key=lambda one: (one.milliseconds is None, one.milliseconds or 0.0))
    if ordered[0].milliseconds is None:
        reasons = "; ".join(f"{one.variant} on {one.engine}: {one.detail}" for one in ordered)
        raise EngineError(f"nothing works on this device: {reasons}")
    tuning = Tuning(opened.identity, processor_key(), tuple(ordered), True)
    if write_cache(tuned_file(opened), to_json(tuning)):
        return tuning
    return Tuning(opened.identity, processor_key(), tuple(ordered), False)


def _ignore(_: str) -> None:
    """Nobody asked to be told."""


def _measured(bundle: Bundle, gate: Gate, pictures: str | None, tell: Callable[[str], None]) -> list[Candidate]:
    found: list[Candidate] = []
    trials: dict[tuple[str, str, int], list[Trial]] = {}
    choices = list(candidates(bundle))
    for turn in range(_PASSES):  # A B C, A B C: what slows the machine for a while hits all alike
        for choice in choices:
            short = _short(choice.variant, gate)
            if short is not None:
                if turn == 0:
                    found.append(_candidate(choice, 0, "unfaithful", short, None))
                continue
            for threads in _thread_counts():
                key = (choice.variant.name, choice.engine.name, threads)
                before = trials.setdefault(key, [])
                if before and before[-1].status != "ok":
                    continue
                tell(f"{choice.variant.name} on {choice.engine.name}, {threads} thread{'s' if threads > 1 else ''}")
                before.append(
                    run_trial(
                        str(bundle.path),
                        variant=choice.variant.name,
                        engine=choice.engine.name,
                        threads=threads,
                        seconds=_SECONDS,
                        pictures=pictures,
                    )
                )
    for choice in choices:
        for threads in _thread_counts():
            passes = trials.get((choice.variant.name, choice.engine.name, threads))
            if passes:
                found.append(_summed(choice, threads, passes))
    return found


def _short(variant: Variant, gate: Gate) -> str | None:
    # Float files are held to more than any gate when they are written.
    return shortfall(gate, variant.fidelity) if variant.precision in ("int8", "dynamic") else None


def _summed(choice: Choice, threads: int, passes: Sequence[Trial]) -> Candidate:
    last = passes[-1]
    if last.status != "ok":
        return _candidate(choice, threads, last.status, last.detail, None)
    # The least of the passes' medians: on a shared machine what disturbs only ever adds time.
    return _candidate(choice, threads, "ok", "", min(float(np.median(one.milliseconds)) for one in passes))


def _candidate(choice: Choice, threads: int, status: str, detail: str, milliseconds: float | None) -> Candidate:
    version = choice.engine.version() or "unknown"
    return Candidate(choice.variant.name, choice.engine.name, version, threads, status, detail, milliseconds)


def _thread_counts() -> list[int]:
    cores = available_cores()
    return [count for count in (1, 2, 4, 8) if count <= cores]
