"""TensorFlow Lite greets once a process, on standard error, in the middle of whatever a program prints there."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_greeting"]

_GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
_ERRORS = 2
_lock = threading.Lock()
_greeted = False


@contextmanager
def without_greeting() -> Iterator[None]:
    """Keeps the greeting of the first interpreter from standard error; whatever else is printed there is passed on.

    No setting of the library silences it: its log goes to the descriptor, which is set aside meanwhile. That is done
    until the greeting was seen, and not by two threads at once.
    """
    global _greeted
    if _greeted:
        yield
        return
    with _lock:
        kept = _set_aside()
        if kept is None:
            yield
            return
        stderr, caught = kept
        try:
            yield
        finally:
            os.dup2(stderr, _ERRORS)
            os.close(stderr)
            _greeted |= _pass_on(caught)


def _set_aside() -> tuple[int, int] | None:
    """Standard error as it was, and the file that takes what is printed; None where there is no standard error."""
    try:
        stderr = os.dup(_ERRORS)
    except OSError:
        return None
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        caught = _file()
        os.dup2(caught, _ERRORS)
    except (OSError, ValueError):  # no place for a file; or a closed stream, which Python code may have left
        os.close(stderr)
        return None
    return stderr, caught


def _file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("edgefeat")
    import tempfile

    with tempfile.TemporaryFile() as stream:
        return os.dup(stream.fileno())


def _pass_on(caught: int) -> bool:
    """Prints what was caught but the greeting; whether that was there."""
    with open(caught, "rb") as stream:
        stream.seek(0)
        lines = stream.read().splitlines(keepends=True)
    others = [line for line in lines if line.strip() != _GREETING]
    if others:
        os.write(_ERRORS, b"".join(others))
    return len(others) < len(lines)
