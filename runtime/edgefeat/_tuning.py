"""Which variant, engine and number of threads is fastest on this device: measured, remembered, used by `load`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle import Bundle
from edgefeat._device import processor_key, read_cache, write_cache
from edgefeat._engines import ENGINES
from edgefeat._errors import EngineError
from edgefeat._gate import shortfall
from edgefeat._manifest import Gate, Variant
from edgefeat._records import RecordError, from_json, to_json
from edgefeat._selection import Choice, available_cores, candidates
from edgefeat._trial import Trial, run_trial

__all__ = ["Candidate", "Tuning", "remembered", "tune"]

_PASSES = 3
_SECONDS = 0.7


@dataclass(frozen=True, slots=True)
class Candidate:
    """One variant on one engine with so many threads. `milliseconds` is the median of one inference, if there is one.

    `status` is `ok`, `unfaithful` (below the gate, so not tried), `crashed`, `hung` or `failed`; `detail` says why.
    """

    variant: str
    engine: str
    engine_version: str
    threads: int
    status: str
    detail: str
    milliseconds: float | None


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured for one bundle on one processor; candidates that are ok come first, fastest first."""

    identity: str
    processor: str
    candidates: tuple[Candidate, ...]
    remembered: bool

    @property
    def best(self) -> Candidate:
        """The fastest."""
        return self.candidates[0]

    def slower_int8(self) -> list[str]:
        """A sentence for each int8 variant that is slower here than its format's float32."""
        fastest: dict[str, Candidate] = {}
        for candidate in self.candidates:
            if candidate.milliseconds is not None:
                fastest.setdefault(candidate.variant, candidate)
        sentences = []
        for form in ("tflite", "onnx"):
            small, full = fastest.get(f"{form}-int8"), fastest.get(f"{form}-float32")
            if small and full and (small.milliseconds or 0) > (full.milliseconds or 0):
                sentences.append(
                    f"{small.variant} is slower than {full.variant} here: {small.milliseconds:.2f} ms on "
                    f"{small.engine} against {full.milliseconds:.2f} ms on {full.engine}"
                )
        return sentences


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
    if write_cache(_file(opened), to_json(tuning)):
        return tuning
    return Tuning(opened.identity, processor_key(), tuple(ordered), False)


def remembered(bundle: Bundle, variant: str | None, engine: str | None) -> tuple[Choice, int] | None:
    """The fastest choice that an earlier `tune` found on this processor and the arguments allow, and its threads.

    None where there is none, or the engine has another version now.
    """
    try:
        tuning = from_json(Tuning, read_cache(_file(bundle)))
    except RecordError:
        return None
    if tuning.identity != bundle.identity or tuning.processor != processor_key():
        return None
    engines = {one.name: one for one in ENGINES}
    variants = {one.name: one for one in bundle.manifest.variants}
    for candidate in tuning.candidates:
        if candidate.milliseconds is None or candidate.variant not in variants or candidate.engine not in engines:
            continue
        if variant not in (None, candidate.variant) or engine not in (None, candidate.engine):
            continue
        if engines[candidate.engine].version() == candidate.engine_version:
            reason = f"the fastest here by `edgefeat tune`: {candidate.milliseconds:.2f} ms"
            return Choice(variants[candidate.variant], engines[candidate.engine], reason), candidate.threads
    return None


def _file(bundle: Bundle) -> str:
    return f"tuned-{bundle.identity[:16]}-{processor_key()}.json"


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
    return _candidate(choice, threads, "ok", "", min(median(one.milliseconds) for one in passes))


def _candidate(choice: Choice, threads: int, status: str, detail: str, milliseconds: float | None) -> Candidate:
    version = choice.engine.version() or "unknown"
    return Candidate(choice.variant.name, choice.engine.name, version, threads, status, detail, milliseconds)


def _thread_counts() -> list[int]:
    cores = available_cores()
    return [count for count in (1, 2, 4, 8) if count <= cores]
