"""What a process that runs for months needs of the system: its memory back when it is free, and enough files."""

from __future__ import annotations

import contextlib
import ctypes
import gc

__all__ = ["allow_files", "give_memory_back"]

# From mallopt(3). Otherwise glibc raises the threshold to the largest block freed so far, up to 32 MB, and such blocks
# then leave holes in the heap; and each thread has a heap of its own. A block above the threshold costs a page fault
# for every 4 KB each time: with a threshold of 1 MB, a tenth of the processor time of a photo of 0.3 megapixels.
_M_MMAP_THRESHOLD, _THRESHOLD = -3, 4 << 20
_M_TRIM_THRESHOLD, _FREE_AT_TOP = -1, 8 << 20
_M_ARENA_MAX, _ARENAS = -8, 2
_COLLECT_AFTER = (700, 10, 10)


def give_memory_back() -> None:
    """Make free memory go back to the system soon. Call it once, before threads start."""
    gc.set_threshold(*_COLLECT_AFTER)  # commands that end soon collect rarely
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc; Windows has no library of that name
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
        library.mallopt(_M_TRIM_THRESHOLD, _FREE_AT_TOP)
        library.mallopt(_M_ARENA_MAX, _ARENAS)


def allow_files(count: int) -> None:
    """Allow this process to have so many files and connections open, as far as the system permits."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on Windows
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= soft < count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count if hard < 0 else min(count, hard), hard))
