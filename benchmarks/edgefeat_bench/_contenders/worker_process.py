"""A contender's process, as its parent sees it."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from edgefeat import EdgefeatError
from edgefeat._bundle.json_records import to_json
from edgefeat_bench._contenders.interface import Task
from edgefeat_bench._contenders.registry import KINDS, program_of
from edgefeat_bench._processes import child_environment, interruption_deferred

#: How many letters of a last line are kept.
_SAID = 240


class WorkerError(EdgefeatError):
    """A contender's process ended or gave an invalid answer; the text has its last words."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one image. `laps` are the seconds to decode, resize and infer, each None if unknown."""

    seconds: float
    laps: tuple[float | None, float | None, float | None]
    feature: NDArray[np.float32]


class Worker(contextlib.AbstractContextManager["Worker"]):
    """A contender's process. `absent` says why it cannot run, if it cannot, and `remedy` the command that helps."""

    def __init__(
        self, task: Task, *, command: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.contender = task.contender
        self.peak = 0
        if command is None:
            command = [*program_of(KINDS[task.contender.kind]), json.dumps(to_json(task))]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        started = time.perf_counter()
        self._frozen = owned = False
        try:
            with interruption_deferred():
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._log,
                    text=True,
                    env={**child_environment(), **(environment or {}), "EDGEFEAT_THREADS": str(task.threads)},
                )
                self.pid = self._process.pid
                self._handle = psutil.Process(self.pid)
                owned = True
            first = self._read()
        except BaseException as error:  # also an interruption: nobody else would end the process
            if owned:
                self.close()
            elif isinstance(error, OSError):
                raise WorkerError(f"cannot be started: {error}") from error
            raise
        self.absent: str | None = first.get("absent")
        self.remedy = str(first.get("remedy") or "")
        self.versions: dict[str, str] = {str(name): str(value) for name, value in first.get("versions", {}).items()}
        self.model_bytes: int | None = first.get("model_bytes")
        self.remark = str(first.get("remark") or "")
        self.start_seconds = time.perf_counter() - started - float(first.get("making_seconds") or 0)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def freeze(self) -> None:
        """Stop the process until it is called: threads of engines spin for a while, at the others' cost."""
        with contextlib.suppress(psutil.Error):  # the next call finds out that it has died
            self._handle.suspend()
        self._frozen = True

    def call(self, file: str, *, array: bool = False, warm: str | None = None) -> Sample:
        """Extract an image, after the array `warm` if given, which is not timed. Raises WorkerError."""
        assert self._process.stdin is not None
        asked = {"array" if array else "file": os.fspath(file)} | ({"warm": warm} if warm else {})
        try:
            if self._frozen:
                self._handle.resume()
                self._frozen = False
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        except (psutil.Error, OSError):
            raise self._died() from None
        answer = self._read()
        try:
            feature = _feature(answer["feature"])
            laps = answer.get("laps") or (None, None, None)
            self.peak = int(answer.get("peak") or 0)
            seconds = float(answer["seconds"])
            if not (math.isfinite(seconds) and seconds > 0):
                raise ValueError(f"{seconds:g} seconds")
            return Sample(seconds, (laps[0], laps[1], laps[2]), feature)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise WorkerError(f"answered {str(answer)[:100]!r}, which is not understood: {error!r}") from error

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise WorkerError(f"answered {line[:100]!r} (expected: a JSON object a line)")
        return answer

    def _died(self) -> WorkerError:
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return WorkerError(f"died with exit status {status}" + (f": {_end_of(lines[-1])}" if lines else ""))


def _end_of(line: str) -> str:
    """Return a last line, or its end if it is long: errors name files first, and what was wrong at the end."""
    return line if len(line) <= _SAID else f"{line[: _SAID // 3]} ... {line[-_SAID * 2 // 3 :]}"


def _feature(value: object) -> NDArray[np.float32]:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
    return np.asarray(value, np.float32).ravel()
