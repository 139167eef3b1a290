"""Which photos exist and which of them a run has to compute."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from edgefeat._errors import ArgumentError
from edgefeat._images.sources.archives import file_facts
from edgefeat._images.sources.paths import pictures_of
from edgefeat._store.writer import StoreWriter

__all__ = ["Plan", "Work", "plan"]

_BLOCK = 1000


@dataclass(frozen=True, slots=True)
class Work:
    """A photo to compute: its absolute path, and its size in bytes if known."""

    path: str
    size: int | None


@dataclass(slots=True)
class Plan:
    """The photos a run has to compute. The list is compressed to about 20 bytes a photo."""

    #: Photos whose row in the database is up to date.
    unchanged: int = 0
    #: Unchanged photos that failed in an earlier run.
    failed_before: int = 0
    #: Folders, archives and URLs that cannot be read, each with the reason.
    unlisted: list[tuple[str, str]] = field(default_factory=list)
    #: Photos to compute.
    count: int = 0
    _packed: list[bytes] = field(default_factory=list)
    _open: list[bytes] = field(default_factory=list)

    def add(self, work: Work) -> None:
        """Add a photo to compute."""
        self.count += 1
        self._open.append(b"%s:%s" % (b"" if work.size is None else b"%d" % work.size, os.fsencode(work.path)))
        if len(self._open) == _BLOCK:
            self._packed.append(zlib.compress(b"\0".join(self._open), 1))
            self._open.clear()

    def work(self) -> Iterator[Work]:
        """Yield every photo to compute, once and in order. Entries are discarded as they are yielded."""
        self._packed.reverse()
        while self._packed:
            yield from _unpacked(zlib.decompress(self._packed.pop()).split(b"\0"))
        yield from _unpacked(self._open)


def _unpacked(entries: Sequence[bytes]) -> Iterator[Work]:
    for entry in entries:
        size, _, path = entry.partition(b":")
        yield Work(os.fsdecode(path), int(size) if size else None)


def plan(
    paths: Iterable[str], store: StoreWriter, *, repeats: bool, retry_failed: bool, looked: Callable[[int], object]
) -> Plan | None:
    """Return the new and changed photos among `paths`, compared by size and modification time, or None if stopped.

    A photo whose file is gone keeps its row. `repeats` means that a photo may be named twice. `looked` is called with
    the number of photos seen every 500 photos; the search stops when it returns False. Raises ArgumentError for an
    impossible path or a list that cannot be read.
    """
    found = Plan()
    seen: set[str] = set()
    for count, path in enumerate(_expanded(paths, found), 1):
        if count % 500 == 0 and looked(count) is False:
            return None
        if repeats:
            if path in seen:
                continue
            seen.add(path)
        _sort(path, store, found, retry_failed=retry_failed)
    return found


def _expanded(paths: Iterable[str], found: Plan) -> Iterator[str]:
    return pictures_of(map(_checked, paths), lambda path, reason: found.unlisted.append((path, reason)), absolute=True)


def _checked(given: str) -> str:
    if "\0" in given:
        raise ArgumentError(f"path {given!r} cannot be a file's: it contains a NUL")
    return given


def _sort(path: str, store: StoreWriter, found: Plan, *, retry_failed: bool) -> None:
    size = mtime_ns = None
    gone = False
    try:
        size, mtime_ns = file_facts(path)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
    known = store.known(path)
    if known is not None and known.status == "ok":
        if gone or (known.size, known.mtime_ns) == (size, mtime_ns):
            found.unchanged += 1
            return
    elif known is not None and not retry_failed and (known.size, known.mtime_ns) == (size, mtime_ns):
        found.failed_before += 1
        return
    found.add(Work(path, size))
