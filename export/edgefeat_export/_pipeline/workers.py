"""The processes in which the steps of an export run, kept warm from step to step.

The converters leak, are big, and some die rather than raise: in a process of their own that costs one step. Starting
one takes seconds, most of them TensorFlow's import, so a worker runs one step after another while it stays small.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from edgefeat import EdgefeatError, ExportError, OutputError
from edgefeat_export._pipeline.steps import Step
from edgefeat_export._pipeline.worker import Call, Reply

__all__ = ["StepCost", "Workers"]

P = ParamSpec("P")
R = TypeVar("R")

_FULL_DISK = 1_000_000

#: A worker that holds more bytes after a step is ended: the next step would need its own memory on top of that.
_MOST_HELD = 1_300_000_000

#: What a worker imports before its first step, by whether it has TensorFlow.
_IMPORTED = {True: ("tensorflow", "keras"), False: ("edgefeat_export._quantize.int8_files",)}


_PROGRAM = "import sys; from edgefeat_export._pipeline.worker import main; sys.exit(main(sys.argv[1:]))"

#: Seconds for a worker that has closed its output to end by itself, so that its own exit status is known.
_ENDING = 10.0


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step cost: seconds, and the most memory of its process in bytes (0 where the system does not tell)."""

    step: str
    seconds: float
    peak_bytes: int


class Workers:
    """Runs steps in processes, at most `jobs` at once that need TensorFlow and as many that do not.

    `began` is called with a step's name, `ended` with its cost.
    """

    def __init__(
        self,
        folder: Path,
        *,
        began: Callable[[str], None],
        ended: Callable[[StepCost], None] | None = None,
        jobs: int = 1,
    ) -> None:
        self._folder = folder
        self._began = began
        self._ended = ended
        self._lock = threading.Lock()
        self._turns = {kind: threading.BoundedSemaphore(jobs) for kind in (True, False)}
        self._idle: dict[bool, list[_Worker]] = {True: [], False: []}
        self._all: set[_Worker] = set()
        self._stopped = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, step: Step[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Run a step to its end and return its result; several threads may run one each.

        Raises the edgefeat error that it raised, or ExportError with its last words.
        """
        with self._turns[step.tensorflow]:
            return self._run(step, arguments, named)

    def _run(self, step: Step[P, R], arguments: tuple[Any, ...], named: dict[str, Any]) -> R:
        self._began(step.name)
        started = time.monotonic()
        log = self._folder / f"{step.name}.log"
        log.unlink(missing_ok=True)
        call = Call(step.function, arguments, named, str(log))
        worker = self._idle_worker(step.tensorflow) or self._start(step.tensorflow)
        reply = self._replied(worker, call)
        if reply is None and not log.exists() and worker.called > 1:  # it died before, while nothing was asked of it
            self._end(worker)
            worker = self._start(step.tensorflow)
            reply = self._replied(worker, call)
        if self._ended is not None:
            self._ended(StepCost(step.name, time.monotonic() - started, 0 if reply is None else reply.peak))
        if reply is None or reply.failure:
            status = self._end(worker, patience=_ENDING)
            raise _error(self._folder, step.name, reply, status, log)
        if reply.held > _MOST_HELD:
            self._end(worker)
        else:
            with self._lock:
                self._idle[step.tensorflow].append(worker)
        if reply.error is not None:
            raise reply.error
        result: R = reply.result
        return result

    def _replied(self, worker: _Worker, call: Call) -> Reply | None:
        try:
            return worker.call(call)
        except BaseException:  # Ctrl-C, or a deadline of the caller's: leave no converter running
            self._end(worker)
            raise

    def warm(self, *, tensorflow: bool) -> None:
        """Start a worker for a later step, without waiting for it."""
        self._idle[tensorflow].append(self._start(tensorflow))

    def close(self, *, tensorflow: bool) -> None:
        """End the idle workers of a kind, which no later step needs."""
        while self._idle[tensorflow]:
            self._end(self._idle[tensorflow].pop())

    def stop(self) -> None:
        """End every worker, whatever it does, in whatever thread."""
        self._stopped = True
        for worker in tuple(self._all):
            self._end(worker)

    def _idle_worker(self, tensorflow: bool) -> _Worker | None:
        with self._lock:
            idle = self._idle[tensorflow]
            return idle.pop() if idle else None

    def _start(self, tensorflow: bool) -> _Worker:
        if self._stopped:
            raise ExportError("the export was ended")
        worker = _Worker(self._folder, _IMPORTED[tensorflow])
        self._all.add(worker)
        return worker

    def _end(self, worker: _Worker, patience: float = 0.0) -> int:
        self._all.discard(worker)
        return worker.end(patience)


class _Worker:
    """One process that runs `edgefeat_export._pipeline.worker`; `called` counts its calls."""

    def __init__(self, folder: Path, modules: tuple[str, ...]) -> None:
        self.called = 0
        # Converters print pages; they are kept for the one case in which they matter.
        environment = {
            "ORT_DISABLE_TELEMETRY": "1",
            **os.environ,
            "TMPDIR": str(folder),  # what a killed converter leaves behind goes with the rest
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            "KERAS_BACKEND": "tensorflow",
        }
        with (folder / "worker.log").open("ab") as stream:
            self._process = subprocess.Popen(
                # -P: a file lying in the user's folder is no module of ours
                [sys.executable, "-P", "-c", _PROGRAM, *modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment,
            )

    def call(self, call: Call) -> Reply | None:
        """Return the reply to a call; None where the process ended without one."""
        sent, replies = self._process.stdin, self._process.stdout
        assert sent is not None
        assert replies is not None
        self.called += 1
        try:
            pickle.dump(call, sent)
            sent.flush()
            reply: Reply = pickle.load(replies)  # from a process that was started here
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            return None
        return reply

    def end(self, patience: float) -> int:
        """End the process, unless it ends by itself within `patience` seconds, and return its exit status."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        status = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        return status


def _error(folder: Path, step: str, reply: Reply | None, status: int, log: Path) -> EdgefeatError:
    if shutil.disk_usage(folder).free < _FULL_DISK:
        return OutputError(f"step {step} failed: the disk that holds {folder} is full; TMPDIR names another folder")
    if reply is not None:
        return ExportError(f"step {step} failed: {reply.failure}")
    if status < 0:
        name = signal.Signals(-status).name
        hint = ": was there enough memory?" if name == "SIGKILL" else ""
        return ExportError(f"step {step} was ended by {name}{hint}")
    return ExportError(f"step {step} failed: {_last_words(log, folder / 'worker.log') or f'exit status {status}'}")


def _last_words(*logs: Path) -> str:
    """Return the last line that is not empty of the first of these files that has one."""
    for log in logs:
        if log.exists():
            words = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
            if words:
                return words[-1]
    return ""
