"""Services that tests run: the real command in a process of its own, which is ended in any case."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Service", "running", "wait_for"]

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


def wait_for(happened: Callable[[], object]) -> None:
    """Wait until something is true. Fails after a minute."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
