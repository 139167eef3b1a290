"""Answers from workers become rows of the database."""

from __future__ import annotations

import time

from edgefeat._bulk.messages import Answer, Task
from edgefeat._bulk.plan import Work
from edgefeat._bulk.progress import Progress
from edgefeat._images.sources.archives import file_facts
from edgefeat._store.records import Photo
from edgefeat._store.writer import StoreWriter

__all__ = ["Rows"]

# At most this much has to be computed again after a run is killed.
_COMMIT_SECONDS = 1.0
_COMMIT_ROWS = 256


class Rows:
    """Writes one row for each photo and counts the results."""

    def __init__(self, store: StoreWriter, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._waiting = 0
        self._committed = time.monotonic()
        self.computed = 0
        self.moved = 0
        self.failed = 0
        self.truncated = 0

    def task(self, work: Work) -> Task:
        """Return the task for a photo, with the hashes of known photos of the same size, as it may be one of them."""
        known = self._store.hashes_of_size(work.size) if work.size is not None else []
        return Task(work.path, tuple(known))

    def put(self, task: Task, answer: Answer, payload: bytes) -> bool:
        """Write the row. Return False if the photo has to be computed after all."""
        if answer.error is not None and not answer.data:
            self._fail(task.path, answer)
            return True
        if answer.same:
            if answer.size is None or answer.mtime_ns is None or answer.sha256 is None:
                return False
            if not self._store.put_same(task.path, answer.size, answer.mtime_ns, answer.sha256):
                return False
            self.moved += 1
        else:
            facts = answer.size, answer.mtime_ns, answer.sha256
            photo = Photo(task.path, *facts, "ok", answer.error, self._store.run)
            self._store.put(photo, payload[: answer.scales], payload[answer.scales :])
            self.computed += 1
            self.truncated += answer.error is not None
        self._waiting += 1
        self._progress.done(task.path, None)
        return True

    def fail(self, task: Task, reason: str) -> None:
        """Write the row of a photo that crashed its workers."""
        size, mtime_ns = _facts(task.path)
        self._fail(task.path, Answer(size, mtime_ns, None, False, reason, 0, 0))

    def _fail(self, path: str, answer: Answer) -> None:
        known = self._store.known(path) if answer.size is None else None
        reason = str(answer.error)
        self.failed += 1
        if known is not None and known.status == "ok":
            self._progress.done(path, f"{reason}; its earlier feature is kept")
            return
        # Without size and time, a pipe or an unreadable file would count as changed in every run.
        size, mtime_ns = (answer.size, answer.mtime_ns) if answer.size is not None else _facts(path)
        photo = Photo(path, size, mtime_ns, answer.sha256, "failed", reason, self._store.run)
        self._store.put(photo, b"", b"")
        self._waiting += 1
        self._progress.done(path, reason)

    def commit_if_due(self) -> None:
        """Commit if enough rows or time have accumulated."""
        now = time.monotonic()
        if self._waiting >= _COMMIT_ROWS or (self._waiting and now - self._committed >= _COMMIT_SECONDS):
            self.commit()

    def commit(self) -> None:
        """Commit the rows written so far."""
        self._store.commit()
        self._waiting = 0
        self._committed = time.monotonic()


def _facts(path: str) -> tuple[int | None, int | None]:
    """Return size and modification time of a file, or None for each if unknown."""
    try:
        return file_facts(path)
    except OSError:
        return None, None
