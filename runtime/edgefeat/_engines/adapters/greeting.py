"""TensorFlow Lite greets once a process, on standard error, in the middle of whatever a program prints there."""

from __future__ import annotations

import atexit
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
# What takes standard error meanwhile, kept until the process ends: another thread may be on its way to write there
# when the descriptor is put back. `_passed` is how much of it was passed on.
_caught: int | None = None
_passed = 0


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
        stderr = _set_aside()
        if stderr is None:
            yield
            return
        try:
            yield
        finally:
            os.dup2(stderr, _ERRORS)
            os.close(stderr)
            _greeted |= _pass_on()


def _set_aside() -> int | None:
    """Standard error as it was, now that `_caught` has its place; None where there is no standard error."""
    global _caught
    try:
        stderr = os.dup(_ERRORS)
    except OSError:
        return None
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        if _caught is None:
            _caught = _file()
            atexit.register(_pass_on)
        os.dup2(_caught, _ERRORS)
    except (OSError, ValueError):  # no place for a file; or a closed stream, which Python code may have left
        os.close(stderr)
        return None
    return stderr


def _file() -> int:
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("edgefeat")
    else:
        import tempfile

        with tempfile.TemporaryFile() as stream:
            file = os.dup(stream.fileno())
    if sys.platform != "win32":
        import fcntl

        # Two threads that write at once must not write to the same place, as they may where the end is not looked for.
        fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file


def _pass_on() -> bool:
    """Prints what was caught since the last time but the greeting; whether that was there."""
    global _passed
    if _caught is None:
        return False
    size = os.fstat(_caught).st_size - _passed
    lines = _read(_caught, size, _passed).splitlines(keepends=True)
    _passed += size
    others = [line for line in lines if line.strip() != _GREETING]
    if others:
        os.write(_ERRORS, b"".join(others))
    return len(others) < len(lines)


def _read(file: int, size: int, start: int) -> bytes:
    """Bytes of a file, whose position stays: what another thread is just writing there goes to the end."""
    if hasattr(os, "pread"):
        return os.pread(file, size, start)
    end = os.lseek(file, 0, os.SEEK_CUR)
    os.lseek(file, start, os.SEEK_SET)
    try:
        return os.read(file, size)
    finally:
        os.lseek(file, end, os.SEEK_SET)


def _forget() -> None:
    """In a forked process: what was caught is its parent's to pass on."""
    global _caught, _passed
    if _caught is not None:
        os.close(_caught)
    _caught, _passed = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
