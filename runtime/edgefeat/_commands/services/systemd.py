"""Tell systemd the state of a service, by the protocol of sd_notify(3): one datagram for each message."""

from __future__ import annotations

import contextlib
import os
import socket
import time

__all__ = ["ServiceManager"]


class ServiceManager:
    """The service manager that started this process, or none: then nothing is sent.

    It is described by the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._interval = _watchdog_seconds() / 2
        self._last = 0.0
        self._is_ready = False

    def ready(self, status: str) -> None:
        """Say that the service is ready. `status` is what `systemctl status` shows."""
        self._is_ready = True
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Change what `systemctl status` shows."""
        self._send(f"STATUS={_line(status)}")

    def alive(self) -> None:
        """Say that the service works. Call it often: a message is sent at half of the watchdog's interval.

        Before the service is ready it asks for more time to start.
        """
        now = time.monotonic()
        if self._interval and now - self._last >= self._interval:
            self._last = now
            self._send("WATCHDOG=1" if self._is_ready else f"EXTEND_TIMEOUT_USEC={4 * round(self._interval * 1e6)}")

    def stopping(self) -> None:
        """Say that the service is about to end."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address or not hasattr(socket, "AF_UNIX"):
            return
        # A manager that has gone must not end the service.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode("utf-8", "replace"), self._address)


def _watchdog_seconds() -> float:
    """Return the watchdog's interval in seconds, or 0 without a watchdog for this process."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not microseconds.isdigit():
        return 0.0
    return int(microseconds) / 1_000_000


def _line(text: str) -> str:
    return " ".join(text.split())
