"""Which processor this is."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import struct
from pathlib import Path

__all__ = ["processor", "processor_key"]

# Fields of /proc/cpuinfo that determine the instruction set.
_TELLING = ("model name", "flags", "Features", "CPU implementer", "CPU part", "CPU revision", "Hardware", "Model")


def processor() -> str:
    """Return the name of the board if it has one (a Raspberry Pi does), else of the processor."""
    board = _text("/proc/device-tree/model").strip("\0 \n")
    return board or _cpuinfo().get("model name") or platform.processor() or platform.machine()


@functools.cache
def processor_key() -> str:
    """Return a short key for this processor, the same for all of its kind and number of cores."""
    facts = [platform.system(), platform.machine(), str(struct.calcsize("P")), str(os.cpu_count())]
    fields = _cpuinfo()
    facts += [fields.get(name, "") for name in _TELLING] if fields else [platform.processor()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """Return the fields of the first processor in /proc/cpuinfo."""
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
