"""The device's current temperature, clock rate and throttling."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Health", "health"]


@dataclass(frozen=True, slots=True)
class Health:
    """The device's state: degrees Celsius, MHz, governor and a Raspberry Pi's throttling flags. None means unknown.

    `throttled` is the output of `vcgencmd get_throttled` in hex. Bits 0 to 3: under-voltage, capped, throttled, soft
    temperature limit now. Bits 16 to 19: the same at any time since boot.
    """

    temperature: float | None
    clock: float | None
    governor: str | None
    throttled: str | None


def health() -> Health:
    """Return the device's current state."""
    millidegrees = _number("/sys/class/thermal/thermal_zone0/temp")
    kilohertz = _number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return Health(
        temperature=None if millidegrees is None else millidegrees / 1000,
        clock=None if kilohertz is None else kilohertz / 1000,
        governor=_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        throttled=_throttled(),
    )


def _throttled() -> str | None:
    try:
        said = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, timeout=2, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    flags = re.fullmatch(rb"throttled=(0x[0-9a-fA-F]{1,16})\s*", said.stdout)
    return flags[1].decode() if flags else None


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip() or None
    except OSError:
        return None


def _number(path: str) -> float | None:
    text = _text(path)
    return float(text) if text is not None and text.lstrip("-").isdigit() else None
