"""The watch itself: notices and searches, photos that settle, workers, results."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from edgefeat._bulk.messages import Task
from edgefeat._bundle.reader import Bundle
from edgefeat._commands.services.process import give_memory_back
from edgefeat._commands.services.systemd import ServiceManager
from edgefeat._commands.services.watch.arrivals import Arrivals, Facts, Settled, facts
from edgefeat._commands.services.watch.folders import Folder, is_photo
from edgefeat._commands.services.watch.openness import ignore_lease_breaks
from edgefeat._commands.services.watch.presence import Presence
from edgefeat._commands.services.watch.report import Report
from edgefeat._commands.services.watch.results.database import DatabaseResults
from edgefeat._commands.services.watch.results.lines import LineResults
from edgefeat._commands.services.watch.results.protocol import Done, Results
from edgefeat._commands.services.watch.search import FolderSearch
from edgefeat._commands.services.watch.settings import WatchSettings
from edgefeat._commands.services.watch.work import Crew
from edgefeat._errors import OutputError, StoreError

__all__ = ["watch"]

# Photos computed and written together, and paths searched at a time.
_BATCH, _PATHS = 128, 500
# At most so many photos are arriving at once; the search waits meanwhile.
_MOST_ARRIVING = 2000
# How often a file that cannot be written or a folder that is gone is tried again.
_RETRY_SECONDS = 2.0
_LOOK_SECONDS = 0.5


def watch(settings: WatchSettings, report: Report) -> int:
    """Take each photo that arrives until SIGINT or SIGTERM. Return the exit status.

    Raises ArgumentError if a folder does not exist or the database was made with another bundle or options, and the
    errors of `load`.
    """
    give_memory_back()
    ignore_lease_breaks()
    bundle = Bundle.open(settings.bundle)
    manager = ServiceManager()
    results: Results
    if settings.into is not None:
        results = DatabaseResults(settings.into, report.note, manager.alive)
        held = results.identity(report.trouble)
    else:
        assert settings.lines is not None
        results, held = LineResults(settings.lines), None
    crew = Crew(settings, bundle, held)
    one = _Watch(settings, results, crew, report, manager)
    try:
        with one.signals():
            one.run()
    finally:
        crew.end()
        results.close()
    report.note("stopped")
    return 0


class _Watch:
    def __init__(
        self, settings: WatchSettings, results: Results, crew: Crew, report: Report, manager: ServiceManager
    ) -> None:
        self._results = results
        self._crew = crew
        self._report = report
        self._presence = Presence(settings.folders, poll=settings.poll, tell=report.note)
        self._arrivals = Arrivals(settings.settle, self._presence.is_remote)
        self._search = FolderSearch(self._presence.folders, results, settings.interval, report.note)
        self._settle = settings.settle
        # Known photos that were gone when they were looked at, and since when.
        self._gone: dict[str, float] = {}
        # Photos that failed, with what they were then.
        self._failed: dict[str, Facts] = {}
        self._done: list[Done] = []
        self._removed: list[str] = []
        self._again: list[Task] = []
        self._may_grow: dict[str, Settled] = {}
        self._retry = 0.0
        # How many searches had ended when what the folders hold was last noted as known.
        self._seen = 0
        self._manager = manager
        self._ended = False

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """End the watch at SIGINT or SIGTERM. A second signal has its usual effect."""
        if threading.current_thread() is not threading.main_thread():  # signals can be handled in the main thread only
            yield
            return
        before = {number: signal.getsignal(number) or signal.SIG_DFL for number in (signal.SIGINT, signal.SIGTERM)}

        def end(number: int, frame: FrameType | None) -> None:
            self._ended = True
            self._presence.wake()
            signal.signal(number, before[signal.Signals(number)])

        try:
            for number in before:
                signal.signal(number, end)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self) -> None:
        self._presence.look(self._folder_changed)
        loaded = self._crew.load(self._goes_on)
        if loaded is None:
            return
        self._results.begin(self._crew.identity(loaded), loaded)
        self._report.note(
            f"{loaded.variant} on {loaded.engine} ({self._crew.reason(loaded)}), into {self._results.place}"
        )
        self._manager.ready("watching")
        while self._goes_on():
            self._presence.look(self._folder_changed)
            self._hear(self._wait())
            if self._write() and not self._is_troubled and (settled := self._settled()):
                self._compute(settled)
                self._write()
            self._crew.rest()
        self._manager.stopping()
        self._write()
        self._presence.stop()

    @property
    def _is_troubled(self) -> bool:
        """Whether the results could not be read or written a moment ago."""
        return time.monotonic() < self._retry

    def _goes_on(self) -> bool:
        self._manager.alive()
        return not self._ended

    def _folder_changed(self, folder: Folder) -> None:
        self._search.lost(folder)
        self._search.soon()

    def _wait(self) -> set[str]:
        """Return the paths that notices tell of. Wait for them if there is nothing else to do."""
        waits = [_LOOK_SECONDS]
        if len(self._arrivals) < _MOST_ARRIVING:
            waits.append(self._search.wait())
        if (arriving := self._arrivals.wait()) is not None:
            waits.append(arriving)
        if self._again:
            waits.append(0.0)
        if self._is_troubled:
            waits = [_LOOK_SECONDS]
        return self._presence.changed(min(waits))

    def _hear(self, changed: set[str]) -> None:
        for path in changed:
            self._notice(path)
        if len(self._arrivals) >= _MOST_ARRIVING or self._is_troubled:
            return
        with self._unavailable():
            for path, exists in self._search.step(_PATHS, has_notices=self._presence.has_notices):
                if not exists:
                    self._note_gone(path)
                elif path not in self._arrivals and self._is_new(path):
                    self._arrivals.notice(path)
        with self._unavailable():
            self._confirm_gone()

    def _notice(self, path: str) -> None:
        """Look at what a notice names: a photo, a folder, or something that is gone."""
        if not self._presence.holds(path):
            return
        if os.path.isdir(path):
            if not os.path.islink(path):
                for photo in Folder(path).photos():
                    self._arrivals.notice(photo)
        elif os.path.lexists(path):
            if is_photo(path):
                self._arrivals.notice(path)
        else:
            with self._unavailable():
                self._gone_below(path)

    def _gone_below(self, path: str) -> None:
        if is_photo(path) and self._results.known(path) is not None:
            self._note_gone(path)
        for photo in self._results.below(path):
            self._note_gone(photo)

    def _note_gone(self, path: str) -> None:
        if not os.path.lexists(path):
            self._gone.setdefault(path, time.monotonic())

    def _confirm_gone(self) -> None:
        """Remove photos that have been gone for a while: one that is replaced or renamed comes back meanwhile.

        What was noticed in that time is looked at first: it may be the photos of a renamed folder.
        """
        now, oldest = time.monotonic(), self._arrivals.oldest()
        for path, since in list(self._gone.items()):
            until = since + 2 * self._settle
            if now < until or oldest < until or self._again or self._search.is_running:
                continue
            del self._gone[path]
            if self._search.is_gone(path):
                self._removed.append(path)
                self._failed.pop(path, None)
        if self._seen < self._search.finished and not self._search.is_running and not self._gone:
            self._seen = self._search.finished
            self._search.seen()

    def _is_new(self, path: str) -> bool:
        try:
            return self._is_due(path, facts(os.stat(path)))
        except OSError:
            return False

    def _is_due(self, path: str, found: Facts) -> bool:
        """Return whether a photo has to be computed. One that failed is tried again if its permissions change, too."""
        failed = self._failed.get(path)
        return self._search.is_new(path, *found[:2]) if failed is None else failed != found

    def _settled(self) -> list[Task]:
        """Return the photos to compute now."""
        tasks: list[Task] = self._again[:_BATCH]
        del self._again[:_BATCH]
        with self._unavailable():
            for photo in self._arrivals.settled():
                if self._is_due(photo.path, photo.facts):
                    tasks.append(Task(photo.path, tuple(self._results.hashes_of_size(photo.size))))
                    self._may_grow[photo.path] = photo
                if len(tasks) >= _BATCH:
                    break
        return tasks

    def _compute(self, tasks: Sequence[Task]) -> None:
        for one in self._crew.compute(tasks, self._goes_on, self._report.note):
            photo = self._may_grow.pop(one.task.path, None)
            if photo is not None and not self._is_final(one, photo):
                continue
            self._done.append(one)

    def _is_final(self, one: Done, photo: Settled) -> bool:
        """Return whether a result counts. If not, the photo is tried again: it has changed, or may be incomplete."""
        try:
            status = os.stat(photo.path)
        except OSError:
            return False  # gone meanwhile; a notice or the next search tells
        if (status.st_size, status.st_mtime_ns) != photo.facts[:2]:
            self._arrivals.notice(photo.path)
            return False
        if one.answer.error is not None and not one.answer.data and photo.may_grow:
            self._arrivals.again(photo)
            return False
        return True

    def _write(self) -> bool:
        """Write what is done. Return False if that is not possible now: it is kept, and tried again later."""
        if not self._done and not self._removed:
            return True
        if self._is_troubled and not self._ended:
            return False
        with self._unavailable():
            written = self._results.write(self._done, self._removed)
            for one in self._done:
                self._failed.pop(one.task.path, None)
                if one.answer.error is not None and not one.answer.data:
                    self._note_failed(one)
            self._done, self._removed = [], []
            self._again += written.again
            self._report.written(written)
            self._manager.status(self._report.status())
            return True
        return False

    def _note_failed(self, one: Done) -> None:
        """Remember a failure, which the results may not record, so that it is reported once."""
        path, answer = one.task.path, one.answer
        with contextlib.suppress(OSError):  # gone meanwhile
            status = os.stat(path)
            # One that cannot be read has no facts in its answer.
            if answer.size is None or (answer.size, answer.mtime_ns) == (status.st_size, status.st_mtime_ns):
                self._failed[path] = facts(status)

    @contextlib.contextmanager
    def _unavailable(self) -> Iterator[None]:
        """Wait for a while after an error of the results' file, and say so once."""
        try:
            yield
        except (StoreError, OutputError) as error:
            self._report.trouble(str(error))
            self._retry = time.monotonic() + _RETRY_SECONDS
            self._search.soon()
        else:
            return
