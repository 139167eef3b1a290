"""Run a command and sample the memory of its process tree."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from edgefeat._commands.cli.terminal import reason

__all__ = ["Sampled", "sampled"]

_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Sampled:
    """A finished command: its exit status, its output, its errors, its seconds, and its process tree's peak memory."""

    status: int
    output: str
    errors: str
    seconds: float
    peak_bytes: int

    @property
    def last_words(self) -> str:
        """The last line of the errors that is not empty and does not only name the page that helps."""
        return reason(self.errors)


def sampled(command: Sequence[str]) -> Sampled:
    """Run a command to its end."""
    began, peak = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, _held(watched))
            except psutil.NoSuchProcess:
                break
            time.sleep(_SECONDS)
        status = process.wait()
        seconds = time.monotonic() - began
        output.seek(0)
        errors.seek(0)
        return Sampled(status, output.read(), errors.read(), seconds, peak)


def _held(process: psutil.Process) -> int:
    """Return the bytes that a process and all processes it started hold."""
    total: int = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += int(one.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return total
