"""What machine this is."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from edgefeat_bench._records import Machine

__all__ = ["this_machine"]


def this_machine() -> Machine:
    """The machine, as far as it tells."""
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return Machine(
        processor=_processor(),
        architecture=platform.machine(),
        cores=len(affinity),
        memory_bytes=int(psutil.virtual_memory().total),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def _processor() -> str:
    """The board where it names itself (a Raspberry Pi does), else the processor's model name."""
    board = Path("/proc/device-tree/model")
    if board.exists():
        return board.read_text(errors="replace").strip("\0 \n")
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
