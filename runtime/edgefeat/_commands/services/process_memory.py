"""Memory of a process that runs for months: given back to the system when it is free."""

from __future__ import annotations

import contextlib
import ctypes
import gc

__all__ = ["give_memory_back"]

# From mallopt(3). Otherwise glibc raises the threshold to the largest block freed so far, up to 32 MB, and such blocks
# then leave holes in the heap; and each thread has a heap of its own.
_M_MMAP_THRESHOLD, _THRESHOLD = -3, 131_072
_M_ARENA_MAX, _ARENAS = -8, 2
_COLLECT_AFTER = (700, 10, 10)


def give_memory_back() -> None:
    """Make free memory go back to the system soon. Call it once, before threads start."""
    gc.set_threshold(*_COLLECT_AFTER)  # commands that end soon collect rarely
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
        library.mallopt(_M_ARENA_MAX, _ARENAS)
