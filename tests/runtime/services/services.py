"""Services that tests run: the real command in a process of its own, which is ended in any case."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["Service", "running", "service_manager", "wait_for"]

_PATIENCE_SECONDS = 60.0


class Service:
    """A running command and the lines that it has printed to standard error."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def said(self, text: str, times: int = 1) -> str:
        """Wait for a line with the text and return it, or the last of so many."""
        wait_for(lambda: self.count(text) >= times or self.process.poll() is not None)
        found = [line for line in list(self.lines) if text in line]
        assert len(found) >= times, self.lines
        return found[times - 1]

    def count(self, text: str) -> int:
        """Return how many lines so far have the text."""
        return sum(text in line for line in list(self.lines))

    def stop(self) -> int:
        """End it with SIGTERM and return its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=_PATIENCE_SECONDS)


@contextmanager
def running(*arguments: str | Path, **options: object) -> Iterator[Service]:
    """Run `python -m edgefeat` with the arguments."""
    command = [sys.executable, "-m", "edgefeat", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options) as process:  # type: ignore[call-overload]  # options of Popen
        try:
            yield Service(process)
        finally:
            process.kill()


@contextmanager
def service_manager(folder: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A socket in place of systemd's, and the environment of a service that reports to it, every tenth of a second."""
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("there is no systemd")
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(_PATIENCE_SECONDS)
        yield manager, {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}


def wait_for(happened: Callable[[], object]) -> None:
    """Wait until something is true. Fails after a minute."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
