"""Features appended to a file of JSON lines: `{"path", "size", "mtime_ns", "features"}`, one line a photo."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from io import RawIOBase
from pathlib import Path

import numpy as np

from edgefeat._bulk.messages import Loaded
from edgefeat._commands.services.watch.results.drive import is_away
from edgefeat._commands.services.watch.results.protocol import Done, Written
from edgefeat._errors import ArgumentError, OutputError
from edgefeat._store.records import Known, StoreIdentity

__all__ = ["LineResults"]

_BLOCK = 1 << 20


class LineResults:
    """The file at `path`. Only one process appends to it. An incomplete last line is removed."""

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = Path(os.path.realpath(path))
        self._identity: StoreIdentity | None = None
        self._known: dict[str, Known] = {}
        try:
            self._stream = open(path, "a+b", buffering=0)  # noqa: SIM115  # open as long as this object
        except OSError as error:
            raise ArgumentError(f"output {self.place!r} cannot be written: {error.strerror}") from None
        try:
            self._lock()
            self._size = self._read()
            self._device = os.fstat(self._stream.fileno()).st_dev
        except BaseException:
            self._stream.close()
            raise

    def begin(self, identity: StoreIdentity, loaded: Loaded) -> None:
        self._identity = identity

    def known(self, path: str) -> Known | None:
        return self._known.get(path)

    def below(self, folder: str) -> Iterator[str]:
        yield from ()  # lines of photos that are gone stay

    def hashes_of_size(self, size: int) -> list[str]:
        return []

    def write(self, done: Sequence[Done], removed: Sequence[str]) -> Written:
        written = Written([], [], [], [], [])
        lines: list[bytes] = []
        known: dict[str, Known] = {}
        for one in done:
            path, answer = one.task.path, one.answer
            if answer.error is not None and not answer.data:
                written.failed.append((path, answer.error))
                continue
            lines.append(self._line(one))
            known[path] = Known(answer.size, answer.mtime_ns, "ok")
            written.added.append(path)
        self._append(b"".join(lines))
        self._known |= known
        return written

    def close(self) -> None:
        self._stream.close()

    def _line(self, one: Done) -> bytes:
        assert self._identity is not None
        record: dict[str, object] = {"path": one.task.path, "size": one.answer.size, "mtime_ns": one.answer.mtime_ns}
        if one.answer.error is not None:
            record["note"] = one.answer.error  # it is truncated, which was allowed
        values = np.frombuffer(one.payload, "<f4")
        taps = self._identity.taps
        for tap in taps:
            feature, values = np.split(values, [int(np.prod(tap.shape))])
            record["features" if len(taps) == 1 else f"features/{tap.name}"] = feature.reshape(tap.shape).tolist()
        return json.dumps(record).encode("ascii") + b"\n"

    def _append(self, data: bytes) -> None:
        """Append lines. Raises OutputError with the file as it was, as if the disk is full."""
        try:
            if not self._is_in_place():
                self._reopen()
            rest = memoryview(data)
            while rest:
                rest = rest[self._stream.write(rest) :]
            os.fsync(self._stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError, ValueError):  # a line that stays incomplete is removed at the next start
                self._stream.truncate(self._size)
            raise OutputError(f"{self.place} cannot be written: {error.strerror or error}") from error
        self._size += len(data)

    def _is_in_place(self) -> bool:
        """Return whether the file is the one that is open: logrotate moves it away, and may put a new one there."""
        if self._stream.closed:
            return False
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._stream.fileno()))
        except OSError:
            return False

    def _reopen(self) -> None:
        """Open the file at the path. Raises OutputError if it is of no use, or its drive is gone."""
        self._stream.close()
        if is_away(self._path, self._device):
            raise OutputError(f"{self.place} is out of reach, with its folder or its drive")
        self._stream = open(self._path, "a+b", buffering=0)  # noqa: SIM115  # open as long as this object
        try:
            self._lock()
            self._size = self._read()
        except ArgumentError as error:
            self._stream.close()
            raise OutputError(str(error)) from error

    def _lock(self) -> None:
        if os.name != "posix":
            return
        import fcntl

        try:
            fcntl.flock(self._stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArgumentError(f"output {self.place!r} is in use by another `edgefeat watch`") from None
        except OSError:  # a drive without locks
            return

    def _read(self) -> int:
        """Note the photos in the file, and remove an incomplete last line. Return the size."""
        size = 0
        for number, line in enumerate(_lines(self._stream), 1):
            if not line.endswith(b"\n"):
                self._stream.truncate(size)
                break
            size += len(line)
            try:
                # The features, nearly all of the line, are left out.
                head, separator, _ = line.partition(b', "features')
                record = json.loads(head + b"}" if separator else line)
                self._known[record["path"]] = Known(record.get("size"), record.get("mtime_ns"), "ok")
            except (ValueError, TypeError, KeyError, AttributeError):
                raise ArgumentError(
                    f"output {self.place!r}: line {number} is not one of edgefeat's: choose another file"
                ) from None
        self._stream.seek(0, os.SEEK_END)
        return size


def _lines(stream: RawIOBase) -> Iterator[bytes]:
    """Yield the lines of a file from its start, the last one perhaps incomplete."""
    stream.seek(0)
    rest = b""
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
