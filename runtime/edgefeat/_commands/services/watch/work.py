"""The workers of a watch: they compute what has settled, and survive whatever a photo does to them."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from edgefeat._bulk.messages import Answer, Loaded, Task, WorkerSettings
from edgefeat._bulk.options import BulkOptions, default_memory, default_workers
from edgefeat._bulk.plan import Work
from edgefeat._bulk.run import check_same
from edgefeat._bulk.worker_pool import Workers
from edgefeat._bulk.worker_process import Event
from edgefeat._bundle.reader import Bundle
from edgefeat._commands.services.watch.results.protocol import Done
from edgefeat._commands.services.watch.settings import WatchSettings
from edgefeat._images.sources.archives import file_facts
from edgefeat._store.records import StoreIdentity, StoreTap

__all__ = ["Crew"]

# Idle workers, all but one, end after this time: each holds the bundle in memory.
_IDLE_SECONDS = 30.0


class Crew:
    """Workers that stay for the whole watch."""

    def __init__(self, settings: WatchSettings, bundle: Bundle, held: StoreIdentity | None) -> None:
        self._bundle = bundle
        self._held = held
        self._most = settings.workers or default_workers()
        self._worker_settings = _worker_settings(settings, bundle, held, self._most)
        self._events: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
        self._workers = Workers(self._worker_settings, 1, self._events, seconds=settings.seconds)
        self._busy = time.monotonic()

    def load(self, goes_on: Callable[[], bool]) -> Loaded | None:
        """Start a worker and return what it loaded, or None if the watch ends. Raises the errors of `load`."""
        self._workers.start_first()
        while goes_on():
            if (loaded := self._workers.first_loaded(0.1)) is not None:
                return loaded
        return None

    def identity(self, loaded: Loaded) -> StoreIdentity:
        """Return what makes the features."""
        settings = self._worker_settings
        taps = tuple(StoreTap(tap.name, tap.shape) for tap in self._bundle.manifest.taps)
        return StoreIdentity(
            self._bundle.manifest.name,
            settings.bundle,
            self._bundle.identity,
            loaded.variant,
            loaded.engine,
            settings.decoding,  # type: ignore[arg-type]  # a Decoding and a Precision became text on their way
            settings.precision,  # type: ignore[arg-type]
            taps,
        )

    def reason(self, loaded: Loaded) -> str:
        """Return why this variant and engine are used."""
        return loaded.reason if self._held is None else "as recorded in the database"

    def compute(self, tasks: Sequence[Task], goes_on: Callable[[], bool], tell: Callable[[str], None]) -> list[Done]:
        """Return the results of the tasks, or of some of them if the watch ends."""
        by_path = {task.path: task for task in tasks}
        self._workers.count = max(1, min(self._most, len(tasks)))
        self._workers.take((Work(task.path, None) for task in tasks), len(tasks), lambda work: by_path[work.path])
        done: list[Done] = []
        while goes_on() and self._workers.feed(resting=False):
            for task, answer, payload in self._workers.answers(0.1):
                done.append(Done(task, answer, payload))
            for task, reason in self._workers.given_up():
                done.append(Done(task, _failure(task.path, reason), b""))
            for note in self._workers.notes():
                tell(note)
        self._busy = time.monotonic()
        return done

    def rest(self) -> None:
        """Look after the workers while there is nothing to do."""
        for _ in self._workers.answers(0):
            pass  # a worker that ended meanwhile is replaced when it is needed
        if self._workers.count > 1 and time.monotonic() - self._busy > _IDLE_SECONDS:
            self._workers.count = 1
            self._workers.keep_one()

    def end(self) -> None:
        """End all workers."""
        self._workers.end()


def _worker_settings(
    settings: WatchSettings, bundle: Bundle, held: StoreIdentity | None, workers: int
) -> WorkerSettings:
    """Return what workers load: what the database says, else the settings, else None for the worker to choose."""
    own = WorkerSettings(
        bundle=os.path.abspath(settings.bundle),
        identity=bundle.identity,
        variant=settings.variant,
        engine=settings.engine,
        threads=settings.threads,
        decoding=settings.decoding or "fast",
        precision=settings.precision or "float32",
        memory=settings.memory or default_memory(settings.limits, workers),
        max_pixels=settings.limits.max_pixels,
        least_share=settings.limits.least_share,
    )
    if held is None or settings.into is None:
        return own
    options = BulkOptions(
        settings.bundle,
        settings.folders,
        settings.into,
        variant=settings.variant,
        engine=settings.engine,
        decoding=settings.decoding,
        precision=settings.precision,
    )
    check_same(options, bundle, held, command="watch")
    return replace(own, variant=held.variant, engine=held.engine, decoding=held.decoding, precision=held.precision)


def _failure(path: str, reason: str) -> Answer:
    """Return the answer for a photo that crashed its workers."""
    try:
        size, mtime_ns = file_facts(path)
    except OSError:
        return Answer(None, None, None, False, reason, 0, 0)
    return Answer(size, mtime_ns, None, False, reason, 0, 0)
