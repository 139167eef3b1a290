"""A pause while the device is too hot."""

from __future__ import annotations

import threading

from edgefeat._engines.device.health import Health, health
from edgefeat._errors import ArgumentError

__all__ = ["HeatWatch", "is_hot"]

_LOOK_SECONDS = 3.0
# Work goes on only this far below the limit, or it would stop again at once.
_COOLER_BY = 5.0
# A Raspberry Pi's `get_throttled`: what it is doing now.
_UNDER_VOLTAGE, _CAPPED, _THROTTLED, _SOFT_LIMIT = 0x1, 0x2, 0x4, 0x8


def is_hot(state: Health, limit: float) -> str | None:
    """Why the device is too hot, or None.

    A Raspberry Pi that slows itself counts, unless a weak power supply is why: a pause would not mend that.
    """
    if state.temperature is not None and state.temperature >= limit:
        return f"{state.temperature:.0f} degrees C (limit: {limit:.0f})"
    flags = 0 if state.throttled is None else int(state.throttled, 16)
    slowed = flags & (_CAPPED | _THROTTLED) and not flags & _UNDER_VOLTAGE
    if flags & _SOFT_LIMIT or slowed:
        return f"it slows itself down (throttled {state.throttled})"
    return None


class HeatWatch:
    """Looks at the device's heat every few seconds, in a thread of its own, since asking may take long.

    Raises ArgumentError on a device that tells neither a temperature nor whether it is throttled.
    """

    def __init__(self, limit: float) -> None:
        state = health()
        if state.temperature is None and state.throttled is None:
            raise ArgumentError(
                "--pause-when-hot: this device tells no temperature "
                "(allowed where /sys/class/thermal or vcgencmd does): leave it out"
            )
        self._limit = limit
        self._hot = is_hot(state, limit)
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    @property
    def hot(self) -> str | None:
        """Why work should rest now; None where it need not."""
        return self._hot

    def close(self) -> None:
        """Looks no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._hot = is_hot(health(), self._limit - (_COOLER_BY if self._hot else 0.0))
