"""What machine this is, and its state."""

from __future__ import annotations

import os
import platform

import psutil

from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.device.health import health
from edgefeat._engines.device.processor import processor
from edgefeat_bench._records import Conditions, Machine


def this_machine() -> Machine:
    """Return the machine, as far as it is known."""
    return Machine(
        processor=processor(),
        architecture=platform.machine(),
        cores=available_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",  # without the name of the build
        python=platform.python_version(),
        governor=health().governor,
    )


def conditions() -> Conditions:
    """Return load, temperature and clock."""
    now = health()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Conditions(load=load, celsius=now.temperature, megahertz=now.clock, throttled=now.throttled)


def busy_seconds() -> float:
    """Return the seconds that the cores which this process may use have worked since the machine started."""
    each = psutil.cpu_times(percpu=True)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(each))
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return float(sum(getattr(each[core], name, 0.0) for core in allowed if core < len(each) for name in names))


def process_seconds(pid: int) -> float:
    """Return the seconds that a running process has worked; 0 if it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
