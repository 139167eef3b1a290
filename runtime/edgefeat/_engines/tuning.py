"""Measuring which variant, engine and number of threads is fastest on this device."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.gate import GATED_IN_TUNE, shortfall
from edgefeat._bundle.json_records import to_json
from edgefeat._bundle.manifest import Gate, Variant
from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cache import tuned_file, write_cache
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.device.processor import processor_key
from edgefeat._engines.isolated_run import Trial, run_trial
from edgefeat._engines.selection import Choice, candidates
from edgefeat._engines.tuning_record import Candidate, Tuning
from edgefeat._errors import EngineError

__all__ = ["tune"]

_PASSES = 3
_SECONDS = 0.7
_NEAR = 1.15


@dataclass(frozen=True, slots=True)
class _Key:
    """A candidate to measure."""

    variant: str
    engine: str
    threads: int


def tune(
    bundle: str | os.PathLike[str] | Bundle,
    *,
    gate: Gate | None = None,
    pictures: NDArray[np.uint8] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Tuning:
    """Measure every installed engine x variant x number of threads, each in its own process, and return the ranking.

    Candidates below `gate` (default: the bundle's own) are skipped. `pictures` are prepared images, uint8 (N, H, W, 3),
    by default the golden ones. The result is stored in the user's cache folder, where `load` finds it. Raises
    EngineError if no candidate works. `tell` is called with a description of each candidate before it is measured.
    """
    import tempfile  # takes 10 ms to import

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
        raise EngineError(f"no candidate works on this device: {reasons}")
    tuning = Tuning(opened.identity, processor_key(), tuple(ordered), True)
    if write_cache(tuned_file(opened.identity), to_json(tuning)):
        return tuning
    return Tuning(opened.identity, processor_key(), tuple(ordered), False)


def _ignore(_: str) -> None:
    """Discard a progress message."""


def _measured(bundle: Bundle, gate: Gate, pictures: str | None, tell: Callable[[str], None]) -> list[Candidate]:
    """Measure every candidate in `_PASSES` passes, then repeat that for those close to the fastest."""
    found: list[Candidate] = []
    trials: dict[_Key, list[Trial]] = {}
    choices = {}
    for choice in candidates(bundle):
        if (short := _short(choice.variant, gate)) is not None:
            found.append(_candidate(choice, 0, "unfaithful", short, None))
            continue
        for threads in _thread_counts():
            key = _Key(choice.variant.name, choice.engine.name, threads)
            choices[key], trials[key] = choice, []
    _passes(bundle, trials, trials, pictures, tell)
    medians = {key: _median(passes) for key, passes in trials.items() if passes[-1].status == "ok"}
    if len(medians) > 1:
        near = [key for key, median in medians.items() if median <= _NEAR * min(medians.values())]
        _passes(bundle, trials, near if len(near) > 1 else [], pictures, tell)
    for key, passes in trials.items():
        last = passes[-1]
        median = _median(passes) if last.status == "ok" else None
        found.append(_candidate(choices[key], key.threads, last.status, last.detail, median))
    return found


def _passes(
    bundle: Bundle,
    trials: dict[_Key, list[Trial]],
    keys: Collection[_Key],
    pictures: str | None,
    tell: Callable[[str], None],
) -> None:
    """Measure the candidates `keys` in turn (A B C, A B C), so that a temporary slowdown affects all alike."""
    for _ in range(_PASSES):
        for key in keys:
            before = trials[key]
            if before and before[-1].status != "ok":
                continue
            tell(f"{key.variant} on {key.engine}, {key.threads} thread{'s' if key.threads > 1 else ''}")
            trial = run_trial(
                str(bundle.path),
                variant=key.variant,
                engine=key.engine,
                threads=key.threads,
                seconds=_SECONDS,
                pictures=pictures,
            )
            before.append(trial)


def _median(passes: Sequence[Trial]) -> float:
    # The lowest of the passes' medians: other load on the machine only ever adds time.
    return min(float(np.median(one.milliseconds)) for one in passes)


def _short(variant: Variant, gate: Gate) -> str | None:
    # Float variants meet a stricter check when they are written.
    return shortfall(gate, variant.fidelity) if variant.precision in GATED_IN_TUNE else None


def _candidate(choice: Choice, threads: int, status: str, detail: str, milliseconds: float | None) -> Candidate:
    version = choice.engine.version() or "unknown"
    return Candidate(choice.variant.name, choice.engine.name, version, threads, status, detail, milliseconds)


def _thread_counts() -> list[int]:
    cores = available_cores()
    return [count for count in (1, 2, 4, 8) if count <= cores]
