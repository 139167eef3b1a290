"""Pausing while the device is too hot."""

from __future__ import annotations

import threading

from edgefeat._engines.device.health import Health, health
from edgefeat._errors import ArgumentError

__all__ = ["TemperatureWatch", "is_hot"]

_LOOK_SECONDS = 3.0
# Work resumes this many degrees below the limit, so that it does not pause again at once.
_COOLER_BY = 5.0
# Bits of a Raspberry Pi's `get_throttled`: the current state.
_UNDER_VOLTAGE, _CAPPED, _THROTTLED, _SOFT_LIMIT = 0x1, 0x2, 0x4, 0x8


def is_hot(state: Health, limit: float) -> str | None:
    """Return why the device is too hot, or None.

    A throttled Raspberry Pi counts as hot, unless its power supply is too weak: a pause would not help then.
    """
    if state.temperature is not None and state.temperature >= limit:
        return f"{state.temperature:.0f} degrees C (limit: {limit:.0f})"
    flags = 0 if state.throttled is None else int(state.throttled, 16)
    slowed = flags & (_CAPPED | _THROTTLED) and not flags & _UNDER_VOLTAGE
    if flags & _SOFT_LIMIT or slowed:
        return f"it is throttled ({state.throttled})"
    return None


class TemperatureWatch:
    """Reads the device's temperature every few seconds, in its own thread because a reading can be slow.

    Raises ArgumentError if the device reports neither a temperature nor throttling.
    """

    def __init__(self, limit: float) -> None:
        state = health()
        if state.temperature is None and state.throttled is None:
            raise ArgumentError(
                "--pause-when-hot: this device reports no temperature "
                "(required: /sys/class/thermal or vcgencmd): leave the option out"
            )
        self._limit = limit
        self._hot = is_hot(state, limit)
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    @property
    def hot(self) -> str | None:
        """Why work should pause now, or None."""
        return self._hot

    def close(self) -> None:
        """Stop reading the temperature."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._hot = is_hot(health(), self._limit - (_COOLER_BY if self._hot else 0.0))
