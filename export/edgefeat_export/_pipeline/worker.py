"""The process that runs steps, one after another, for `worker_pool`.

It first imports the modules given as arguments, so that they are loaded when a step uses them. Then it reads calls from
standard input and writes replies to its original standard output, both pickled, until the input ends. The output of a
step goes to the call's log file.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefeat import EdgefeatError
from edgefeat._engines.device.memory import held_memory, peak_memory, trim_heap
from edgefeat_export._models.messages import first_line

__all__ = ["Call", "Reply", "main"]

_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Call:
    """A module-level function to run, with its arguments, and the log file for its output."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    log: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of a call: its `result`, or an `error` of edgefeat, or any other `failure` as one line of text.

    `peak` and `held` are bytes of memory of this process: the most during the call, and those kept after it; 0 if the
    system does not report them.
    """

    result: Any = None
    error: EdgefeatError | None = None
    failure: str = ""
    peak: int = 0
    held: int = 0


def main(modules: list[str]) -> int:
    """Run calls until the input ends, or until one fails with an unexpected error."""
    # Private copies: a program that a step starts must not read the next call or write a reply.
    calls, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    for name in modules:
        importlib.import_module(name)
    while True:
        try:
            call: Call = pickle.load(calls)  # from the process that started this one
        except EOFError:
            return 0
        _print_to(call.log)
        reply = _run(call)
        pickle.dump(reply, replies)
        replies.flush()
        if reply.failure:
            return 1


def _run(call: Call) -> Reply:
    _forget_peak()
    result, error, failure = None, None, ""
    try:
        result = call.function(*call.arguments, **call.named)
    except EdgefeatError as raised:
        error = type(raised)(str(raised))
    except Exception as raised:  # noqa: BLE001  any error of a converter is reported to the caller of the step
        traceback.print_exc()
        failure = f"{type(raised).__name__}: {first_line(raised)}"
    peak = peak_memory() or 0
    _release()
    return Reply(result, error, failure, peak, held_memory() or 0)


def _print_to(log: str) -> None:
    """Redirect all output from here on, including that of native code, to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _release() -> None:
    """Return unused memory to the system, if the C library can."""
    gc.collect()
    trim_heap()


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")
