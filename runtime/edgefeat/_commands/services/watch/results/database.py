"""Features in a database, which is open only for moments: others may read and write it meanwhile."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgefeat._bulk.messages import Loaded
from edgefeat._bulk.rows import Rows
from edgefeat._commands.services.watch.results.drive import is_away
from edgefeat._commands.services.watch.results.protocol import Done, Written
from edgefeat._errors import ArgumentError, StoreError
from edgefeat._store.reader import FeatureStore
from edgefeat._store.records import Known, StoreIdentity, Versions
from edgefeat._store.writer import StoreWriter

__all__ = ["DatabaseResults"]

_RETRY_SECONDS = 2.0


class DatabaseResults:
    """A database at `path`. `note` is called with a sentence when damage was repaired, `alive` while that goes on."""

    def __init__(self, path: Path, note: Callable[[str], object], alive: Callable[[], None]) -> None:
        self.place = str(path)
        self._path = Path(os.path.realpath(path))
        self._note = note
        self._alive = alive
        self._device: int | None = None  # of the file, once there was one
        self._store: FeatureStore | None = None
        self._file: tuple[int, int] | None = None
        self._begun: tuple[StoreIdentity, Versions] | None = None
        self._run: int | None = None

    def identity(self, trouble: Callable[[str], object]) -> StoreIdentity | None:
        """Return what made the features in the database, or None if it is new.

        Waits while it is in use or its disk is full, and says so. Raises StoreError if it is another program's file or
        damaged beyond repair.
        """
        while True:
            try:
                return self._identity()
            except StoreError as error:
                if not isinstance(error.__cause__, sqlite3.OperationalError):
                    raise
                trouble(str(error))
                time.sleep(_RETRY_SECONDS)

    def _identity(self) -> StoreIdentity | None:
        store, repaired = StoreWriter.open(self._path, alive=self._alive)  # repairs what a killed process has left
        identity = store.identity
        if identity is None:
            store.abandon()
        else:
            store.close()
        if repaired:
            self._note(repaired)
        return identity

    def begin(self, identity: StoreIdentity, loaded: Loaded) -> None:
        self._begun = identity, loaded.versions

    def known(self, path: str) -> Known | None:
        with self._reading() as store:
            return None if store is None else store.known(path)

    def below(self, folder: str) -> Iterator[str]:
        after = None
        while True:
            with self._reading() as store:  # open for a page alone: between two, the database may be written
                page = [] if store is None else store.paths_below(folder, after=after)
            if not page:
                return
            yield from page
            after = page[-1]

    def hashes_of_size(self, size: int) -> list[str]:
        with self._reading() as store:
            return [] if store is None else store.hashes_of_size(size)

    def write(self, done: Sequence[Done], removed: Sequence[str]) -> Written:
        assert self._begun is not None
        self.close()
        written = Written([], [], [], [], [])
        self._check_reach()
        try:
            store, repaired = StoreWriter.open(self._path, alive=self._alive)
        except ArgumentError as error:  # its folder has become read-only, or is gone
            raise StoreError(str(error)) from error
        try:
            identity, versions = self._begun
            store.begin(identity, versions, resume=self._run)
            self._put(store, done, written)
            written.removed += [path for path in removed if store.remove(path)]
            store.commit()
            self._run = store.run
            self._device = os.stat(self._path).st_dev
        except BaseException:
            store.abandon()
            raise
        store.close()
        if repaired:
            self._note(repaired)
        return written

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _put(self, store: StoreWriter, done: Sequence[Done], written: Written) -> None:
        for one in done:
            outcome = _Outcome()
            rows = Rows(store, outcome)
            if not rows.put(one.task, one.answer, one.payload):
                written.again.append(replace(one.task, known=()))  # the photo whose feature it has is gone
            elif outcome.error is not None:
                written.failed.append((one.task.path, outcome.error))
            elif rows.moved:
                written.moved.append(one.task.path)
            else:
                written.added.append(one.task.path)

    def _check_reach(self) -> None:
        """Raise StoreError if the drive of the database is gone: another file in its place would not be the user's."""
        if self._device is not None and is_away(self._path, self._device):
            raise StoreError(f"{self._path} is out of reach, with its folder or its drive")

    @contextmanager
    def _reading(self) -> Iterator[FeatureStore | None]:
        """Yield the database, or None if it does not exist yet. After an error it is opened again."""
        file = _file(self._path)
        if self._file != file:  # created, removed or replaced
            self.close()
            self._file = file
        if file is None:
            self._check_reach()
            yield None
            return
        self._device = file[0]
        if self._store is None:
            self._store = FeatureStore.open(self._path)
        try:
            yield self._store
        except BaseException:
            self.close()
            raise


def _file(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one in its place, or None if there is none or it is empty."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_size else None


class _Outcome:
    """How a photo ended, as `Rows` reports it."""

    error: str | None = None

    def note(self, text: str) -> None:
        """Rows has no notes."""

    def start(self, total: int, facts: dict[str, Any]) -> None:
        """Rows starts nothing."""

    def done(self, path: str, error: str | None) -> None:
        self.error = error

    def close(self) -> None:
        """Rows closes nothing."""
