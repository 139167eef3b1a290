"""The note that int8 is slower than float here: neither a slow start nor one bad moment gives it."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="needs the export extra")

from edgefeat_export._measure import timing

SLOW = 0.02


def test_what_is_slow_at_first_is_as_fast_as_it_becomes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_WARMING_SECONDS", 1.0)
    monkeypatch.setattr(timing, "_LEAST_SECONDS", 0.0)
    started: list[float] = []

    def call() -> None:
        started.append(time.perf_counter())
        if started[-1] - started[0] < 1.0:  # as long as threads of earlier work keep the processor
            time.sleep(SLOW)

    (found,) = timing.medians([call])
    assert found < SLOW / 2


@pytest.mark.parametrize(("times", "is_slower"), [([3, 3, 1], False), ([1], False), ([3, 4, 5], True)])
def test_int8_is_slower_only_if_it_is_each_time(
    times: list[float], is_slower: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter(times)
    monkeypatch.setattr(timing, "milliseconds", lambda *_: (next(measured), 2.0))
    network: Any = None  # what is timed is given here
    note = timing.slower_than_float(network, "onnx-int8")
    assert (note is not None) == is_slower
    assert next(measured, None) is None
    if note is not None:
        assert note.startswith("onnx-int8 is slower than float here: 5.00 ms, and onnx-float32 takes 2.00 ms")
