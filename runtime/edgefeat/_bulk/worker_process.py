"""A worker process, from the run's side."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from edgefeat._bulk.memory_limit import TOO_MUCH_MEMORY
from edgefeat._bulk.messages import Task, WorkerSettings, take_records, write_records
from edgefeat._engines.device.interpreter import interpreter

__all__ = ["PAUSE_SECONDS", "EarlyWorkers", "Event", "WorkerProcess"]

#: How long answers may wait before they are read.
PAUSE_SECONDS = 0.01

_MOST_AT_ONCE = 1 << 16
_WAITS_BELOW = 1 << 15


@dataclass(frozen=True, slots=True)
class Event:
    """A worker's message, or None as `record` if the worker ended. `worker` is None for a signal to the run itself."""

    worker: WorkerProcess | None
    record: object = None
    payload: bytes = b""


class WorkerProcess:
    """One worker process. `tasks` are those without an answer yet; the first is being computed."""

    def __init__(self, events: queue.SimpleQueue[list[Event]]) -> None:
        # -P: modules in the current folder must not shadow an engine or NumPy. NumPy's linear algebra gets one thread:
        # it is not used here, and more threads would cost memory in each worker.
        self._process = subprocess.Popen(
            [interpreter(), "-P", "-m", "edgefeat._bulk.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self.tasks: deque[Task] = deque()
        #: Whether it has loaded the bundle.
        self.ready = False
        #: Why the run ended it, if it did.
        self.ended_because: str | None = None
        #: Seconds spent on the current task or on loading.
        self.seconds = 0.0
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    def load(self, settings: WorkerSettings) -> None:
        """Tell the worker to load a bundle; tasks may follow at once."""
        self._send(settings)

    def give(self, tasks: Sequence[Task]) -> None:
        """Send tasks to the worker."""
        if not self.tasks:
            self.seconds = 0.0
        self.tasks.extend(tasks)
        self._send(*tasks)

    def answered(self) -> Task:
        """Return the task whose answer has arrived."""
        self.seconds = 0.0
        return self.tasks.popleft()

    def end(self, because: str | None = None) -> None:
        """Kill the worker. It has nothing to clean up."""
        self.ended_because = because
        with contextlib.suppress(OSError):
            self._process.kill()

    def cause(self) -> str:
        """Return why it ended, as words that follow "the worker"."""
        status = self._process.wait()
        if self.ended_because is not None:
            return self.ended_because
        if status == TOO_MUCH_MEMORY:
            return "used too much memory (limit: --worker-memory)"
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"died of {signal.Signals(-status).name}"
        return f"ended with status {status if status < 0x80000000 else hex(status)}"

    def release(self) -> None:
        """Close the pipe to a worker that has ended."""
        with contextlib.suppress(OSError):
            cast(BinaryIO, self._process.stdin).close()
        self._process.wait()

    def _send(self, *records: object) -> None:
        with contextlib.suppress(OSError):  # the worker died; its listener reports that
            write_records(cast(BinaryIO, self._process.stdin), records)

    def _listen(self, events: queue.SimpleQueue[list[Event]]) -> None:
        stream = cast(BinaryIO, self._process.stdout)
        heard = bytearray()
        with contextlib.suppress(OSError, ValueError), stream:
            while said := os.read(stream.fileno(), _MOST_AT_ONCE):
                heard += said
                if records := take_records(heard):
                    events.put([Event(self, *record) for record in records])
                # Waking for every photo would cost the run a tenth of the workers' time. But a worker must not wait for
                # room in the pipe, which holds 64 KB, as an unpooled feature may be larger.
                if not heard and len(said) < _WAITS_BELOW:
                    time.sleep(PAUSE_SECONDS)
        events.put([Event(self)])


class EarlyWorkers:
    """Worker processes started before it is known what they will load. They end with the context, if not before.

    They start while the run's own process still imports its modules.
    """

    def __init__(self, count: int) -> None:
        #: Where their messages arrive, and later those of all workers of the run.
        self.events: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
        self.processes = [WorkerProcess(self.events) for _ in range(count)]

    def __enter__(self) -> EarlyWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.end()
        for process in self.processes:
            process.release()
