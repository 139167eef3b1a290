"""The process that runs steps, one after another, for `workers`.

It first imports the modules it is told to, so that they are there when a step wants them. Then it reads calls from its
standard input and writes replies to what was its standard output, both pickled, until the input ends. What a step
prints goes to the call's log file.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefeat import EdgefeatError

__all__ = ["Call", "Reply", "main"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Call:
    """A module-level function to be run, with its arguments, and the file for what it prints."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    log: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call: its `result`, an `error` of edgefeat's, or the `failure` that it was, in one line.

    `peak` and `held` are bytes of memory of this process: the most during the call, and those kept after it; 0 where
    the system does not tell.
    """

    result: Any = None
    error: EdgefeatError | None = None
    failure: str = ""
    peak: int = 0
    held: int = 0


def main(modules: list[str]) -> int:
    """Run calls until there are no more; end after one that failed in a way that nobody foresaw."""
    # Copies that nothing else reads or writes, not even a program that a step starts.
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
    except Exception as raised:  # noqa: BLE001  whatever a converter raises is told where the step was called
        traceback.print_exc()
        failure = traceback.format_exception_only(raised)[-1].strip()
    peak = _memory("VmHWM")
    _release()
    return Reply(result, error, failure, peak, _memory("VmRSS"))


def _print_to(log: str) -> None:
    """Have all that is printed from here on, by native code too, go to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _release() -> None:
    """Give memory that is no longer used back to the system, where the C library can."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")


def _memory(field: str) -> int:
    """Return a field of Linux's status of this process, in bytes."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0
