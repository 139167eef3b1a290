"""Time int8 against float on this machine."""

from __future__ import annotations

import time

import numpy as np

from edgefeat._engines.engine import Session, engine_named
from edgefeat._engines.selection import default_threads
from edgefeat_export._quantize.fidelity import ENGINES
from edgefeat_export._workspace import BuiltNetwork

__all__ = ["milliseconds", "slower_than_float"]

_ROUNDS, _WARMING = 25, 3


def slower_than_float(network: BuiltNetwork, variant: str) -> str | None:
    """Return a note if the int8 `variant` is slower here than its format's float32, with both times; else None."""
    small, full = milliseconds(network, variant)
    if small <= full:
        return None
    form = variant.partition("-")[0]
    return (
        f"{variant} is slower than float here: {small:.2f} ms, and {form}-float32 takes {full:.2f} ms, on "
        f"{ENGINES[form]}; "
        "other processors differ: run `edgefeat tune` on the device"
    )


def milliseconds(network: BuiltNetwork, variant: str) -> tuple[float, float]:
    """Return the median time of one inference of `variant` and of its format's float32.

    Both are loaded in this process and called in turn, one image at a time.
    """
    form = variant.partition("-")[0]
    sessions = [_session(network, name) for name in (variant, f"{form}-float32")]
    pictures = network.work.checking
    samples: list[list[float]] = [[], []]
    for turn in range(_WARMING + _ROUNDS):
        picture = np.ascontiguousarray(pictures[turn % len(pictures)])[np.newaxis]
        for session, own in zip(sessions, samples, strict=True):
            started = time.perf_counter()
            session.run(picture)
            own.append((time.perf_counter() - started) * 1e3)
    small, full = (float(np.median(own[_WARMING:])) for own in samples)
    return small, full


def _session(network: BuiltNetwork, variant: str) -> Session:
    engine = engine_named(ENGINES[variant.partition("-")[0]])
    return engine.open(network.work.model(variant).read_bytes(), network.facts.taps, default_threads())
