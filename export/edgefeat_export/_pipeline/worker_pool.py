"""The worker processes that run the steps of an export, kept warm between steps.

The converters leak memory, use a lot of it, and some crash instead of raising: in a separate process a crash costs one
step. Starting a process takes seconds, mostly for importing TensorFlow, so a worker runs one step after another while
its memory stays small.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from edgefeat import EdgefeatError, ExportError, OutputError
from edgefeat_export._pipeline.steps import Step
from edgefeat_export._pipeline.worker import Call, Reply
from edgefeat_export._pipeline.worker_process import WorkerProcess

__all__ = ["StepCost", "Workers"]

P = ParamSpec("P")
R = TypeVar("R")

_FULL_DISK = 1_000_000

#: A worker that keeps more bytes than this after a step is stopped, because the next step would use memory on top of
#: that; by whether it has TensorFlow, which takes 0.8 GB by itself.
_MOST_HELD = {True: 1_300_000_000, False: 700_000_000}

#: Modules that a worker imports before its first step, by whether it has TensorFlow.
_IMPORTED = {True: ("edgefeat_export._models.lean_keras",), False: ("edgefeat_export._quantize.int8_files",)}

#: Seconds to wait for a worker that has closed its output to exit, so that its own exit status is known.
_ENDING = 10.0


@dataclass(frozen=True, slots=True)
class StepCost:
    """The cost of a step: seconds, and the peak memory of its process in bytes (0 if the system does not report it)."""

    step: str
    seconds: float
    peak_bytes: int


class Workers:
    """Runs steps in processes, at most `jobs` at once that use TensorFlow and as many that do not.

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
        self._idle: dict[bool, list[WorkerProcess]] = {True: [], False: []}
        self._all: set[WorkerProcess] = set()
        self._stopped = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, step: Step[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Run a step and return its result; several threads may each run one.

        Raises the edgefeat error that the step raised, or ExportError with the last line of its output.
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
        if reply is None and not log.exists() and worker.called > 1:  # it died earlier, while it was idle
            self._end(worker)
            worker = self._start(step.tensorflow)
            reply = self._replied(worker, call)
        if self._ended is not None:
            self._ended(StepCost(step.name, time.monotonic() - started, 0 if reply is None else reply.peak))
        if reply is None or reply.failure:
            status = self._end(worker, patience=_ENDING)
            raise _error(self._folder, step.name, reply, status, log)
        if reply.held > _MOST_HELD[step.tensorflow]:
            self._end(worker)
        else:
            with self._lock:
                self._idle[step.tensorflow].append(worker)
        if reply.error is not None:
            raise reply.error
        result: R = reply.result
        return result

    def _replied(self, worker: WorkerProcess, call: Call) -> Reply | None:
        try:
            return worker.call(call)
        except BaseException:  # Ctrl-C, or a timeout of the caller: leave no converter running
            self._end(worker)
            raise

    def warm(self, *, tensorflow: bool) -> None:
        """Start a worker for a later step, without waiting for it."""
        self._idle[tensorflow].append(self._start(tensorflow))

    def close(self, *, tensorflow: bool) -> None:
        """Stop the idle workers of a kind that no later step uses."""
        while self._idle[tensorflow]:
            self._end(self._idle[tensorflow].pop())

    def stop(self) -> None:
        """Stop every worker, even while it runs a step for another thread."""
        self._stopped = True
        for worker in tuple(self._all):
            self._end(worker)

    def _idle_worker(self, tensorflow: bool) -> WorkerProcess | None:
        with self._lock:
            idle = self._idle[tensorflow]
            return idle.pop() if idle else None

    def _start(self, tensorflow: bool) -> WorkerProcess:
        if self._stopped:
            raise ExportError("the export was stopped")
        with _uninterrupted():
            worker = WorkerProcess(self._folder, _IMPORTED[tensorflow])
            self._all.add(worker)
        return worker

    def _end(self, worker: WorkerProcess, patience: float = 0.0) -> int:
        self._all.discard(worker)
        return worker.end(patience)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM until the block ends: otherwise a process that just started would never be stopped."""
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.signal(number, lambda number, _: came.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if came:
        signal.raise_signal(came[0])


def _error(folder: Path, step: str, reply: Reply | None, status: int, log: Path) -> EdgefeatError:
    if shutil.disk_usage(folder).free < _FULL_DISK:
        return OutputError(f"step {step} failed: the disk with {folder} is full: set TMPDIR to use another folder")
    if reply is not None:
        return ExportError(f"step {step} failed: {reply.failure}")
    if status < 0:
        name = signal.Signals(-status).name
        hint = ": there may not have been enough memory" if name == "SIGKILL" else ""
        return ExportError(f"step {step} was killed by {name}{hint}")
    return ExportError(f"step {step} failed: {_last_words(log, folder / 'worker.log') or f'exit status {status}'}")


def _last_words(*logs: Path) -> str:
    """Return the last non-empty line of the first of these files that has one."""
    for log in logs:
        if log.exists():
            words = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
            if words:
                return words[-1]
    return ""
