"""Child processes: their environment, their start without interruption, and running a module to its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from textwrap import shorten

from edgefeat import ArgumentError, EdgefeatError
from edgefeat._commands.cli.terminal import reason

# What a failure says in the table of a report.
_LONGEST = 200


def child_environment() -> dict[str, str]:
    """Return the environment of every process that may load TensorFlow: on the CPU, without log messages."""
    return {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "ORT_DISABLE_TELEMETRY": "1",
    }


@contextlib.contextmanager
def interruption_deferred() -> Iterator[None]:
    """Hold back a Ctrl-C until the end of the block: within `Popen` it would leave a process that nobody ends."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    noted: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if noted:
        signal.raise_signal(signal.SIGINT)


def run_module(module: str, *arguments: str, environment: dict[str, str] | None = None, longest: int = _LONGEST) -> str:
    """Run `python -m <module>` and return its standard output.

    Raises EdgefeatError with the reason that it prints where it fails, up to `longest` characters of it; ArgumentError
    if edgefeat says that it was used wrongly.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**child_environment(), **(environment or {})},
        check=False,
    )
    if done.returncode != 0:
        kind = ArgumentError if module == "edgefeat" and done.returncode == 2 else EdgefeatError
        raise kind(shorten(reason(done.stderr) or f"exit status {done.returncode}", longest, placeholder=" ..."))
    return done.stdout
