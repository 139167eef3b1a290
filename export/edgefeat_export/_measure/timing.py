"""Time int8 against float on this machine: for notes and the ablation. What is written never depends on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat._engines.registry import engine_named
from edgefeat._engines.selection import default_threads
from edgefeat_export._measure.variants import ENGINES
from edgefeat_export._workspace import BuiltNetwork

__all__ = ["medians", "milliseconds", "slower_than_float"]

#: The least rounds and seconds to warm up caches and clocks, and to wait for threads of earlier sessions and products,
#: which keep the processor busy for a while; then those to time.
_WARMING, _WARMING_SECONDS = 3, 0.2
_ROUNDS, _LEAST_SECONDS = 25, 0.3

#: The number of measurements that must agree that int8 is slower.
_TRIES = 3

#: A slow network, for which that takes more than these seconds, is timed in fewer rounds.
_FEWEST, _MOST_SECONDS = 15, 3.0


def slower_than_float(network: BuiltNetwork, variant: str) -> str | None:
    """Return a note if the int8 `variant` is slower here than its format's float32, with both times; else None.

    It must be slower in each of three tries, with sessions of their own: for seconds on end, threads of two sessions
    can be on one processor, and either looks twice as slow as it is.
    """
    for _ in range(_TRIES):
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

    Both are loaded in this process and called in turn, with the same image.
    """
    form = variant.partition("-")[0]
    picture = np.ascontiguousarray(network.work.checking[:1])
    small, full = medians([_session(network, name, picture) for name in (variant, f"{form}-float32")])
    return small * 1e3, full * 1e3


def _session(network: BuiltNetwork, variant: str, picture: NDArray[np.uint8]) -> Callable[[], Any]:
    engine = engine_named(ENGINES[variant.partition("-")[0]])
    session = engine.open(network.work.model(variant).read_bytes(), network.facts.taps, default_threads())
    return lambda: session.run(picture)


def medians(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the median seconds of each call, with all called in turn, round by round."""
    taken: list[list[float]] = []
    started = time.perf_counter()
    while len(taken) < _WARMING or time.perf_counter() - started < _WARMING_SECONDS:
        taken.append(_round(calls))
    taken.clear()
    while len(taken) < _ROUNDS or time.perf_counter() - started < _WARMING_SECONDS + _LEAST_SECONDS:
        taken.append(_round(calls))
        if len(taken) >= _FEWEST and time.perf_counter() - started > _MOST_SECONDS:
            break
    return [float(value) for value in np.median(taken, axis=0)]


def _round(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the seconds of each call."""
    row = []
    for call in calls:
        began = time.perf_counter()
        call()
        row.append(time.perf_counter() - began)
    return row
