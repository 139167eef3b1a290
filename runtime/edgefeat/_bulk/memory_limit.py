"""A memory limit for this process, so that one image cannot use up the machine's memory."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from pathlib import Path

__all__ = ["TOO_MUCH_MEMORY", "limit_memory"]

#: The exit status of a worker that used too much memory, where the system cannot enforce the limit itself.
TOO_MUCH_MEMORY = 77

_WATCH_SECONDS = 0.05


def limit_memory(most: int) -> None:
    """Limit this process to about `most` bytes from now on.

    On Linux, allocations beyond the limit raise MemoryError. Elsewhere the process exits with `TOO_MUCH_MEMORY`.
    """
    if sys.platform == "linux":
        import resource

        # The kernel counts writable pages, touched or not. Memory that is reserved now but never touched does not
        # count.
        status = Path("/proc/self/status").read_text()
        reserved, touched = _kilobytes(status, "VmData"), _kilobytes(status, "RssAnon")
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = most + (reserved - touched) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (soft if hard < 0 else min(soft, hard), hard))
    else:
        threading.Thread(target=_watch, args=(most,), daemon=True).start()


def _kilobytes(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) if found else 0


def _watch(most: int) -> None:
    while _held() <= most:
        time.sleep(_WATCH_SECONDS)
    os._exit(TOO_MUCH_MEMORY)


def _held() -> int:
    """Return the bytes of memory in use: the current value on Windows, elsewhere the peak."""
    if sys.platform == "win32":
        import ctypes
        from ctypes import wintypes

        class Counters(ctypes.Structure):
            _fields_ = (
                ("cb", wintypes.DWORD),
                ("PageFaultCount", wintypes.DWORD),
                *((name, ctypes.c_size_t) for name in ("PeakWorkingSetSize", "WorkingSetSize", *"abcdef")),
            )

        counters = Counters(cb=ctypes.sizeof(Counters))
        kernel = ctypes.windll.kernel32
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD)
        kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb)
        return int(counters.WorkingSetSize)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
