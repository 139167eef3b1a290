"""How many cores and how much memory this process may use, and what says so."""

from __future__ import annotations

import os
from typing import NamedTuple

from edgefeat._engines.device.cgroup import cpu_quota, memory_limit

__all__ = ["Cores", "Memory", "available_cores", "cores", "memory"]


class Cores(NamedTuple):
    """How many cores may be used, of how many, and what says so; an empty reason where all may be."""

    usable: int
    present: int
    reason: str

    def __str__(self) -> str:
        total = f"{self.present} core" + ("s" if self.present != 1 else "")
        return f"{self.usable} of {total}: {self.reason}" if self.reason else total


class Memory(NamedTuple):
    """The bytes that may be used; `is_limited` where a control group says so, which ends a process that takes more."""

    size: int
    is_limited: bool


def available_cores() -> int:
    """How many cores this process may use, at least 1."""
    return cores().usable


def cores() -> Cores:
    """What `PYTHON_CPU_COUNT` says, else the lesser of the affinity and the whole cores of the cgroup's quota."""
    present = os.cpu_count() or 1
    asked = os.environ.get("PYTHON_CPU_COUNT", "")
    if asked.isdigit() and int(asked):
        return Cores(int(asked), present, "PYTHON_CPU_COUNT")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    reason = "affinity" if usable < present else ""
    quota = cpu_quota()
    if quota is not None and quota < usable:
        return Cores(max(1, int(quota)), present, f"cgroup quota of {quota:g}")
    return Cores(usable, present, reason)


def memory() -> Memory | None:
    """The machine's memory or, where it is less, that of the cgroup; None where the system does not tell."""
    limit = memory_limit()
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has none
        return None if limit is None else Memory(limit, True)
    return Memory(whole, False) if limit is None or limit >= whole else Memory(limit, True)
