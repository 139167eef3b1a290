"""The result of `tune`, stored in the user's cache folder, where `load` finds it."""

from __future__ import annotations

from dataclasses import dataclass

from edgefeat._bundle.json_records import RecordError, from_json
from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cache import read_cache, tuned_file
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.device.processor import processor_key
from edgefeat._engines.registry import ENGINES
from edgefeat._engines.selection import Choice

__all__ = ["Candidate", "Tuning", "remembered"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant on an engine with a number of threads. `milliseconds` is the median of one inference, or None.

    `status` is `ok`, `unfaithful` (below the gate, so not measured), `crashed`, `hung` or `failed`; `detail` is the
    reason.
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
    """The measurements of one bundle on one processor. Working candidates come first, fastest first."""

    identity: str
    processor: str
    candidates: tuple[Candidate, ...]
    remembered: bool

    @property
    def best(self) -> Candidate:
        """The fastest candidate."""
        return self.candidates[0]

    def slower_int8(self) -> list[str]:
        """Return a sentence for each engine and int8 variant that is slower here than float32 in the same format."""
        fastest: dict[tuple[str, str], Candidate] = {}
        for candidate in self.candidates:
            if candidate.milliseconds is not None:
                fastest.setdefault((candidate.variant, candidate.engine), candidate)
        sentences = []
        for (variant, engine), small in fastest.items():
            full = fastest.get((variant.replace("int8", "float32"), engine))
            if small.milliseconds and full and full.milliseconds and small.milliseconds > full.milliseconds:
                sentences.append(
                    f"{small.variant} is slower than {full.variant} on {engine} here: "
                    f"{small.milliseconds:.2f} ms against {full.milliseconds:.2f} ms"
                )
        return sentences


def remembered(
    bundle: Bundle, variant: str | None, engine: str | None, threads: int | None = None
) -> tuple[Choice, int] | None:
    """Return the fastest earlier result of `tune` that matches the arguments, with its threads, or None.

    With `threads`, results with that number come before others. A result does not count if the engine's version has
    changed or the process may use fewer cores.
    """
    try:
        tuning = from_json(Tuning, read_cache(tuned_file(bundle.identity)))
    except RecordError:
        return None
    if tuning.identity != bundle.identity or tuning.processor != processor_key():
        return None
    engines = {one.name: one for one in ENGINES}
    variants = {one.name: one for one in bundle.manifest.variants}
    for candidate in sorted(tuning.candidates, key=lambda one: threads not in (None, one.threads)):
        if candidate.milliseconds is None or candidate.variant not in variants or candidate.engine not in engines:
            continue
        if variant not in (None, candidate.variant) or engine not in (None, candidate.engine):
            continue
        if not 1 <= candidate.threads <= available_cores():
            continue
        if engines[candidate.engine].version() == candidate.engine_version:
            reason = f"the fastest here, measured by `edgefeat tune`: {candidate.milliseconds:.2f} ms"
            if threads not in (None, candidate.threads):
                reason += f" with {candidate.threads} thread{'s' if candidate.threads > 1 else ''}"
            return Choice(variants[candidate.variant], engines[candidate.engine], reason), candidate.threads
    return None
