"""Which processor this is."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import struct
from pathlib import Path

__all__ = ["processor", "processor_key"]

# What the kernel says of the first processor that decides which instructions it has.
_TELLING = ("model name", "flags", "Features", "CPU implementer", "CPU part", "CPU revision", "Hardware", "Model")


def processor() -> str:
    """The board where it names itself (a Raspberry Pi does), else the processor."""
    board = _text("/proc/device-tree/model").strip("\0 \n")
    return board or _cpuinfo().get("model name") or platform.processor() or platform.machine()


@functools.cache
def processor_key() -> str:
    """A short name for this processor, the same for all of its kind and number of cores."""
    facts = [platform.system(), platform.machine(), str(struct.calcsize("P")), str(os.cpu_count())]
    told = _cpuinfo()
    facts += [told.get(name, "") for name in _TELLING] if told else [platform.processor()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor."""
    found: dict[str, str] = {}
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
