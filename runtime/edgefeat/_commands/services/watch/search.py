"""Search the watched folders for photos that no notice named, and for known photos that are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from edgefeat._commands.services.watch.folders import Folder, mounts
from edgefeat._commands.services.watch.results.protocol import Results
from edgefeat._store.records import Known

__all__ = ["FolderSearch"]

# A search may take this share of the time.
_SHARE = 0.02
# With notices, searches only find what notices missed.
_LEAST_WITH_NOTICES = 60.0


class FolderSearch:
    """Searches the folders at intervals, a few paths at a time, so that other work goes on."""

    def __init__(
        self, folders: Sequence[Folder], results: Results, interval: float, tell: Callable[[str], None]
    ) -> None:
        self._folders = folders
        self._results = results
        self._interval = interval
        self._tell = tell
        self._steps: Iterator[tuple[str, bool]] | None = None
        self._begun = 0.0
        self._due = 0.0
        self._mounted: set[str] = set()
        self._seen_before: set[str] = set()
        self._in_doubt: set[str] = set()
        self._told: set[str] = set()
        #: How many searches have come to their end.
        self.finished = 0

    @property
    def is_running(self) -> bool:
        """Whether a search is under way."""
        return self._steps is not None

    def wait(self) -> float:
        """Return the seconds until the next search."""
        return 0.0 if self.is_running else max(0.0, self._due - time.monotonic())

    def soon(self) -> None:
        """Search again at once."""
        self._due = 0.0

    def step(self, count: int, *, has_notices: bool) -> list[tuple[str, bool]]:
        """Return up to `count` more paths: of photos (True) and of known photos that may be gone (False)."""
        if self._steps is None:
            if time.monotonic() < self._due:
                return []
            self._begun = time.monotonic()
            self._in_doubt.clear()
            self._mounted |= mounts()
            self._steps = self._found()
        found: list[tuple[str, bool]] = []
        try:
            for step in self._steps:
                found.append(step)
                if len(found) == count:
                    return found
        except BaseException:
            self._steps = None
            raise
        self._steps = None
        self.finished += 1
        took = time.monotonic() - self._begun
        least = _LEAST_WITH_NOTICES if has_notices else self._interval
        self._due = time.monotonic() + max(least, took / _SHARE)
        return found

    def is_new(self, path: str, size: int | None, mtime_ns: int | None) -> bool:
        """Return whether a photo has to be computed: it is not known, or has changed since."""
        known = self._results.known(path)
        return known is None or not _is_same(known, size, mtime_ns)

    def is_gone(self, path: str) -> bool:
        """Return whether a known photo was removed. Says once why a photo out of reach is kept."""
        for folder in self._folders:
            if not folder.holds(path):
                continue
            lost = [place for place in self._mounted - mounts() if path.startswith(place + "/")]
            if lost:
                self._doubt(lost[0], "is no longer mounted")
                return False
            if folder.is_gone(path, seen=folder.path in self._seen_before):
                return True
            if folder.is_gone(path, seen=True):
                self._in_doubt.add(folder.path)
                self._doubt(folder.path, "has an empty folder in place of photos, as where a drive is not mounted")
        return False

    def seen(self) -> None:
        """Note that what the folders hold is known: from now on, photos that go are believed to be removed."""
        sure = {folder.path for folder in self._folders if folder.is_there} - self._in_doubt
        self._seen_before |= sure

    def lost(self, folder: Folder) -> None:
        """Note that a folder is out of reach."""
        self._seen_before.discard(folder.path)

    def _doubt(self, place: str, why: str) -> None:
        if place not in self._told:
            self._told.add(place)
            self._tell(f"{place} {why}: the features of its photos are kept")

    def _found(self) -> Iterator[tuple[str, bool]]:
        for folder in self._folders:
            if folder.is_there:
                for path in folder.photos():
                    yield path, True
        for folder in self._folders:
            if folder.is_there:
                for path in self._results.below(folder.path):
                    yield path, False


def _is_same(known: Known, size: int | None, mtime_ns: int | None) -> bool:
    return (known.size is None and known.status == "ok") or (known.size, known.mtime_ns) == (size, mtime_ns)
