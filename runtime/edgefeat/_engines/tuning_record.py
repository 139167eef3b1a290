"""What `tune` found on this device, kept in the user's cache folder, where `load` looks it up."""

from __future__ import annotations

from dataclasses import dataclass

from edgefeat._bundle.json_records import RecordError, from_json
from edgefeat._bundle.reader import Bundle
from edgefeat._engines.device.cache import read_cache, tuned_file
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.device.processor import processor_key
from edgefeat._engines.engine import ENGINES
from edgefeat._engines.selection import Choice

__all__ = ["Candidate", "Tuning", "remembered"]


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
        """A sentence for each int8 variant and engine on which it is slower here than its format's float32."""
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


def remembered(bundle: Bundle, variant: str | None, engine: str | None) -> tuple[Choice, int] | None:
    """The fastest choice that an earlier `tune` found on this processor and the arguments allow, and its threads.

    None where there is none, the engine has another version now, or the process may use fewer cores.
    """
    try:
        tuning = from_json(Tuning, read_cache(tuned_file(bundle.identity)))
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
        if not 1 <= candidate.threads <= available_cores():
            continue
        if engines[candidate.engine].version() == candidate.engine_version:
            reason = f"the fastest here by `edgefeat tune`: {candidate.milliseconds:.2f} ms"
            return Choice(variants[candidate.variant], engines[candidate.engine], reason), candidate.threads
    return None
