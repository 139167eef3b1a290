"""An engine that dies, hangs or is slow while it is tried in a process of its own.

It is a package made here: what becomes of it does not depend on which engine is installed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.engines.fake_engine import DIED, ILLEGAL, Fake

import edgefeat
from edgefeat._engines import probe
from edgefeat._engines.isolated_run import run_trial
from edgefeat._engines.registry import ENGINES

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes die of signals")

LITERT = ENGINES[0]


def trial(bundle: Path, **options: Any) -> Any:
    return run_trial(str(bundle), variant="tflite-float32", engine="litert", threads=1, **options)


@pytest.mark.parametrize(
    ("deed", "status", "detail"),
    [
        (ILLEGAL, "crashed", DIED),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "it died of SIGSEGV"),
        ("os.abort()", "crashed", "it died of SIGABRT"),
        ("os._exit(3)", "failed", "exit status 3"),
        ("raise RuntimeError('no such kernel')", "failed", "RuntimeError: no such kernel"),
    ],
)
def test_a_death_while_it_runs_costs_only_that_process(
    one_tap: Path, fake: Fake, deed: str, status: str, detail: str
) -> None:
    fake.write(LITERT, invoked=deed)
    found = trial(one_tap)
    assert (found.status, found.detail, found.milliseconds) == (status, detail, ())


@pytest.mark.parametrize("where", ["constructed", "invoked"])
def test_a_hang_is_ended(one_tap: Path, fake: Fake, where: str) -> None:
    fake.write(LITERT, **{where: "time.sleep(600)"})
    begun = time.monotonic()
    found = trial(one_tap, timeout=10.0)
    assert time.monotonic() - begun < 100
    assert (found.status, found.detail) == ("hung", "no answer within 10 s")
    assert fake.imports() == 1


def test_a_hang_holds_for_this_process_only(
    one_tap: Path, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.write(LITERT, constructed="time.sleep(600)")
    monkeypatch.setattr(probe, "_TIMEOUT", 10.0)
    monkeypatch.setattr(probe, "_found", {})
    for _ in range(2):
        assert probe.unusable(LITERT, edgefeat.Bundle.open(one_tap), "tflite-float32") == (
            "engine litert cannot be used on this processor: no answer within 10 s"
        )
    assert fake.imports() == 1
    assert not list(tmp_path.glob("cache/probes-*"))  # a busy machine is not the engine's fault


def test_what_is_slower_than_the_time_given_is_still_measured(one_tap: Path, fake: Fake) -> None:
    fake.write(LITERT, invoked="time.sleep(0.6)")
    found = trial(one_tap, seconds=0.1)
    assert found.status == "ok"
    assert all(600 <= milliseconds < 5000 for milliseconds in found.milliseconds)
    assert len(found.milliseconds) >= 1
