"""The memory that this process uses, and giving it back."""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from pathlib import Path

__all__ = ["held_memory", "peak_memory", "trim_heap"]

_STATUS = Path("/proc/self/status")


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes; None if the system does not report it."""
    if (own := _reported("VmHWM")) is not None:
        return own
    try:  # on Linux this would include the parent's memory at the time it started this process
        import resource
    except ImportError:  # not available on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def held_memory() -> int | None:
    """Return the bytes of memory that this process uses now; None if the system does not report it."""
    return _reported("VmRSS")


def trim_heap() -> None:
    """Give the system what is free in the heap now, also between blocks in use: some milliseconds."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc; TypeError: Windows has no main program
        ctypes.CDLL(None).malloc_trim(0)


def _reported(field: str) -> int | None:
    """Return a field of Linux's status of this process in bytes; None on other systems."""
    with contextlib.suppress(OSError):
        if (own := re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)) is not None:
            return int(own[1]) * 1024
    return None
