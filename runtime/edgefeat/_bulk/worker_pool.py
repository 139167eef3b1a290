"""The workers of a run: started, fed, watched and restarted. A photo that crashes two workers is given up."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import edgefeat._errors as errors
from edgefeat._bulk.messages import Answer, Loaded, Refusal, Task, WorkerSettings
from edgefeat._bulk.plan import Work
from edgefeat._bulk.worker_process import PAUSE_SECONDS, Event, WorkerProcess
from edgefeat._errors import EdgefeatError, EngineError

__all__ = ["Workers"]

# A worker computes one task and reads the next ahead. For fast photos it gets as many as it does while answers wait.
# Towards the end it gets fewer again, so that no worker has tasks left when the others have none.
_TASKS_EACH, _MOST_TASKS_EACH = 2, 12
# A worker's seconds per photo before the first answer, and how much each answer counts.
_FIRST_PACE, _PACE_SHARE = 0.008, 0.1
_LOADING_SECONDS = 120.0
# This many worker failures in a row mean a fault of the machine: while loading a bundle that no worker has loaded yet,
# at a photo before any was answered, or while loading later.
_MOST_AT_FIRST, _MOST_AT_PHOTOS, _MOST_LATER = 4, 20, 50
# Longer gaps mean that the run was stopped or the laptop slept; they do not count as a stuck worker.
_LONGEST_LOOK = 1.0


class Workers:
    """A pool of `count` worker processes. `take` gives them photos, `answers` returns their results."""

    def __init__(
        self,
        settings: WorkerSettings,
        count: int,
        events: queue.SimpleQueue[list[Event]],
        *,
        seconds: float,
        waiting: Sequence[WorkerProcess] = (),
    ) -> None:
        self.settings = settings
        self.count = count
        self._events = events
        self._seconds = seconds
        self._alive: list[WorkerProcess] = []
        # Started early: before the run, or while the first worker finds out what to load.
        self._waiting: list[WorkerProcess] = [*waiting]
        self._work: Iterator[Work] = iter(())
        self._task_of: Callable[[Work], Task] = lambda work: Task(work.path, ())
        self._first: deque[Task] = deque()  # tasks of an ended worker, done before all others
        self._suspects: deque[tuple[Task, str]] = deque()
        self._heard_of: deque[Event] = deque()
        self._pace = _FIRST_PACE  # a worker's seconds per photo, a moving average
        self._left = 0  # tasks not yet given to a worker
        self._alone: tuple[Task, str] | None = None
        self._given_up: list[tuple[Task, str]] = []
        self._notes: list[str] = []
        self._exhausted = False
        self._failures = 0
        self._answered = False
        self._looked = time.monotonic()

    def start_first(self) -> None:
        """Start one worker, which finds out what all workers will load."""
        self._alive.append(self._loading())

    def start_others(self, photos: int) -> None:
        """Start the other workers needed for `photos` photos. They wait if the first one is choosing what to load.

        Those started early that are not needed are ended.
        """
        wanted = min(self.count, photos)
        needed = max(wanted - len(self._alive), 0)
        for worker in self._waiting[needed:]:
            worker.end()
            worker.release()
        del self._waiting[needed:]
        if self.settings.variant and self.settings.engine:
            self._alive += [self._loading() for _ in range(len(self._alive), wanted)]
        else:
            self._waiting += [WorkerProcess(self._events) for _ in range(len(self._alive + self._waiting), wanted)]

    def first_loaded(self, seconds: float) -> Loaded | None:
        """Return what the first worker loaded, or None if it is still loading. Raises its error, or EngineError if it
        ended.
        """
        self._watch()
        event = self._next(seconds)
        if event is None or event.worker is None:
            return None
        if event.record is None:
            self._ended(event.worker)
            if not self._alive:
                self.start_first()
            return None
        loaded = self._heard(event)
        if isinstance(loaded, Loaded):
            self.settings = replace(self.settings, variant=loaded.variant, engine=loaded.engine)
            return loaded
        return None

    def take(self, work: Iterator[Work], count: int, task_of: Callable[[Work], Task]) -> None:
        """Set the `count` photos to compute, after those before are done. Each becomes a task when a worker is free."""
        self._exhausted = False
        self._left = count
        self._work = work
        self._task_of = task_of

    def feed(self, *, resting: bool) -> bool:
        """Give every worker enough tasks, unless `resting`. Return False if nothing is left to do."""
        if not self._exhausted or self._first:
            if not resting:
                self._fill()
        elif self._alone is None and not any(worker.tasks for worker in self._alive):
            if not self._suspects:
                return False
            if not resting:
                self._try_alone()
        return True

    def answers(self, seconds: float) -> Iterator[tuple[Task, Answer, bytes]]:
        """Yield the workers' answers, waiting up to `seconds` for the first."""
        event = self._next(seconds)
        while event is not None:
            if event.worker is not None and event.record is None:
                self._ended(event.worker)
            elif event.worker is not None and isinstance(event.record, Answer):
                self._pace += _PACE_SHARE * (min(event.worker.seconds, 1.0) - self._pace)
                task = event.worker.answered()
                self._answered = True
                if self._alone is not None:
                    self._alone = None
                yield task, event.record, event.payload
            else:
                self._heard(event)
            event = self._next(0)
        self._watch()

    def again(self, task: Task) -> None:
        """Compute a photo even if its hash is known."""
        self._first.append(replace(task, known=()))

    def keep_one(self) -> None:
        """End all workers but one, which frees their memory. None may have a task."""
        for worker in self._alive[1:]:
            worker.end("is not needed any more")
            worker.release()
        del self._alive[1:]

    def given_up(self) -> list[tuple[Task, str]]:
        """Return the photos that crashed two workers since the last call, with the reason."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def notes(self) -> list[str]:
        """Return messages about workers since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def end(self) -> None:
        """End every worker."""
        every = self._alive + self._waiting
        for worker in every:
            worker.end()
        for worker in every:
            worker.release()
        self._alive.clear()
        self._waiting.clear()

    def _loading(self) -> WorkerProcess:
        worker = self._waiting.pop() if self._waiting else WorkerProcess(self._events)
        worker.load(self.settings)
        return worker

    def _fill(self) -> None:
        while len(self._alive) < self.count and (task := self._next_task()) is not None:
            self._alive.append(self._loading())
            self._alive[-1].give([task])
        fast = min(_MOST_TASKS_EACH, round(3 * PAUSE_SECONDS / self._pace))
        each = max(_TASKS_EACH, min(fast, self._left // (2 * self.count)))
        # A worker with half of its tasks left is not woken: that would slow it down.
        given: list[tuple[WorkerProcess, list[Task]]] = [
            (worker, []) for worker in self._alive if len(worker.tasks) <= each // 2
        ]
        for depth in range(1, each + 1):  # one task each first: the last photos are spread evenly
            for worker, tasks in given:
                if len(worker.tasks) + len(tasks) < depth and (task := self._next_task()) is not None:
                    tasks.append(task)
        for worker, tasks in given:
            if tasks:
                worker.give(tasks)

    def _next_task(self) -> Task | None:
        if self._first:
            return self._first.popleft()
        work = next(self._work, None)
        if work is None:
            self._exhausted = True
            return None
        self._left -= 1
        return self._task_of(work)

    def _try_alone(self) -> None:
        """Give a suspect photo to the only worker left, after all other photos: it has the machine to itself."""
        self.keep_one()
        if not self._alive:
            self._alive.append(self._loading())
        self._alone = self._suspects.popleft()
        self._alive[0].give([self._alone[0]])

    def _next(self, seconds: float) -> Event | None:
        if not self._heard_of:
            try:
                self._heard_of.extend(self._events.get(timeout=seconds) if seconds else self._events.get_nowait())
            except queue.Empty:
                return None
        return self._heard_of.popleft()

    def _heard(self, event: Event) -> object:
        if isinstance(event.record, Refusal):
            kind = getattr(errors, event.record.error, EdgefeatError)
            raise kind(event.record.text)
        if isinstance(event.record, Loaded) and event.worker is not None:
            event.worker.ready = True
            event.worker.seconds = 0.0
            self._failures = 0 if self._answered else self._failures
        return event.record

    def _ended(self, worker: WorkerProcess) -> None:
        if worker in self._waiting:
            self._waiting.remove(worker)
            worker.release()
        if worker not in self._alive:  # already removed from the pool
            return
        self._alive.remove(worker)
        if worker.ended_because is None:
            worker.end()  # it closed its output: no more answers will come
        worker.release()
        cause = worker.cause()
        self._count_failure(worker, cause)
        tasks = list(worker.tasks)
        if not worker.ready:
            self._first.extendleft(reversed(tasks))
            return
        if tasks:
            task = tasks.pop(0)
            if self._alone is not None:
                first = self._alone[1]
                self._alone = None
                why = cause if cause == first else f"{first}, then {cause}"
                self._given_up.append((task, f"quarantined: the worker {why}, twice"))
            else:
                self._suspects.append((task, cause))
                self._notes.append(f"a worker {cause} at {task.path}; it is tried again alone at the end")
        self._first.extendleft(reversed(tasks))

    def _count_failure(self, worker: WorkerProcess, cause: str) -> None:
        if worker.ready and self._answered:
            return
        self._failures += 1
        most = _MOST_AT_PHOTOS if worker.ready else _MOST_LATER if self._answered else _MOST_AT_FIRST
        if self._failures >= most:
            at = "each at its first photo" if worker.ready else "while loading the bundle"
            raise EngineError(
                f"{self._failures} workers in a row ended {at} (the last one {cause}): try another engine (--engine), "
                "fewer workers (--workers), or more memory (--worker-memory)"
            )

    def _watch(self) -> None:
        """End stuck workers. Time in which this process itself was suspended does not count."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, _LONGEST_LOOK), now
        for worker in self._alive:
            if worker.tasks or not worker.ready:
                worker.seconds += passed
                most = self._seconds if worker.ready else _LOADING_SECONDS
                if worker.seconds > most and worker.ended_because is None:
                    worker.end(f"took longer than {most:g} s and was stopped")
