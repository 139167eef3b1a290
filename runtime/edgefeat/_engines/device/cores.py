"""The number of cores and the memory that this process may use."""

from __future__ import annotations

import os
from typing import NamedTuple

from edgefeat._engines.device.cgroup import cpu_quota, memory_limit
from edgefeat._errors import checked_whole

__all__ = ["Cores", "Memory", "available_cores", "checked_threads", "cores", "memory"]

#: Threads that may always be asked for. With hundreds on two cores ONNX Runtime does not come to an end, and thousands
#: end the process.
_THREADS = 64


class Cores(NamedTuple):
    """The cores that may be used, the cores present, and the reason for the limit (empty without one)."""

    usable: int
    present: int
    reason: str

    def __str__(self) -> str:
        total = f"{self.present} core" + ("s" if self.present != 1 else "")
        return f"{self.usable} of {total}: {self.reason}" if self.reason else total


class Memory(NamedTuple):
    """The usable bytes. `is_limited` means that a control group sets the limit and kills processes that exceed it."""

    size: int
    is_limited: bool


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1."""
    return cores().usable


def checked_threads(threads: int) -> int:
    """Return a number of threads. Raises ArgumentError unless it is one that engines work with."""
    return checked_whole("threads", threads, most=max(_THREADS, _present()))


def cores() -> Cores:
    """Return `PYTHON_CPU_COUNT` if set, else the lower of the CPU affinity and the cgroup's quota in whole cores."""
    present = _present()
    asked = os.environ.get("PYTHON_CPU_COUNT", "")
    if asked.isdigit() and int(asked):
        return Cores(int(asked), present, "PYTHON_CPU_COUNT")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    reason = "affinity" if usable < present else ""
    quota = cpu_quota()
    if quota is not None and quota < usable:
        return Cores(max(1, int(quota)), present, f"cgroup quota of {quota:g}")
    return Cores(usable, present, reason)


def _present() -> int:
    """Return the number of cores of the machine; from Python 3.13 on, `os.cpu_count` gives `PYTHON_CPU_COUNT`."""
    if "SC_NPROCESSORS_ONLN" in getattr(os, "sysconf_names", {}):  # not on Windows
        return max(1, os.sysconf("SC_NPROCESSORS_ONLN"))
    return os.cpu_count() or 1


def memory() -> Memory | None:
    """Return the machine's memory or, if lower, the cgroup's limit. None if the system does not report it."""
    limit = memory_limit()
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not available on Windows
        return None if limit is None else Memory(limit, True)
    return Memory(whole, False) if limit is None or limit >= whole else Memory(limit, True)
