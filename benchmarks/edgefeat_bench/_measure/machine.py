"""What machine this is, and how it is just now."""

from __future__ import annotations

import os
import platform

import psutil

from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.device.health import health
from edgefeat._engines.device.processor import processor
from edgefeat_bench._records import Conditions, Machine

__all__ = ["busy_seconds", "conditions", "process_seconds", "this_machine"]


def this_machine() -> Machine:
    """The machine, as far as it tells."""
    return Machine(
        processor=processor(),
        architecture=platform.machine(),
        cores=available_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",  # not whose build it is
        python=platform.python_version(),
        governor=health().governor,
    )


def conditions() -> Conditions:
    """Load, heat and clock now."""
    now = health()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Conditions(load=load, celsius=now.temperature, megahertz=now.clock, throttled=now.throttled)


def busy_seconds() -> float:
    """Seconds that all cores together have worked since the machine started, for whomever."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")))


def process_seconds(pid: int) -> float:
    """Seconds that a running process has worked; 0 where it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
