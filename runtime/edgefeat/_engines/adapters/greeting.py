"""Hiding TensorFlow Lite's greeting, which it prints once a process to standard error."""

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
# Receives standard error while the greeting is caught. It stays open until the process ends: another thread may be
# about to write to it when the descriptor is restored. `_passed` counts the bytes already passed on.
_caught: int | None = None
_passed = 0


@contextmanager
def without_greeting() -> Iterator[None]:
    """Hide the greeting of the first interpreter from standard error. All other output there is passed on.

    The library has no setting for this: it logs to the file descriptor, which is redirected in the meantime. This
    happens until the greeting was seen, in one thread at a time.
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
    """Redirect standard error to `_caught`. Return the original descriptor, or None if there is none."""
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
    except (OSError, ValueError):  # no place for a file, or a stream that Python code has closed
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

        # Without O_APPEND, two threads that write at once may overwrite each other.
        fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file


def _pass_on() -> bool:
    """Print what was caught since the last call, except the greeting. Return whether the greeting was there."""
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
    """Return bytes of a file without moving its position, so that other threads keep writing at the end."""
    if hasattr(os, "pread"):
        return os.pread(file, size, start)
    end = os.lseek(file, 0, os.SEEK_CUR)
    os.lseek(file, start, os.SEEK_SET)
    try:
        return os.read(file, size)
    finally:
        os.lseek(file, end, os.SEEK_SET)


def _forget() -> None:
    """In a forked process, drop what was caught: the parent prints it."""
    global _caught, _passed
    if _caught is not None:
        os.close(_caught)
    _caught, _passed = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
