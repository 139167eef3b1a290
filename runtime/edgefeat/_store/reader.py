"""Reading a feature database."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import ArgumentError, StoreError, checked_type
from edgefeat._store import lookup
from edgefeat._store.encoding import decode
from edgefeat._store.precision import stored_size
from edgefeat._store.records import Known, Photo, Run, StoreIdentity, StoreTap
from edgefeat._store.schema import (
    as_store_errors,
    check_kind,
    connect,
    crc32,
    path_from_sql,
    path_to_sql,
    photo_from_sql,
    read_identity,
)

__all__ = ["FeatureStore"]

_PHOTO = "path, size, mtime_ns, sha256, status, error, run"
_SCALE_BYTES = 4
_PAGE = 1000


def _as_text(path: bytes) -> str | bytes:
    return path_to_sql(os.fsdecode(path))


class FeatureStore:
    """The features of many photos in one file written by `edgefeat extract --into`. Created by `open`.

    Reading does not change the file. Rows are sorted by path, whatever the order in which they were computed. Use it in
    a `with` block, or call `close`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, identity: StoreIdentity) -> None:
        self._path = path
        self._connection = connection
        self._identity = identity

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> FeatureStore:
        """Open the database at `path`. Raises StoreError if it does not exist, is damaged or is being written."""
        checked_type("path", path, (str, os.PathLike), "the path of a database of `edgefeat extract --into`")
        file = Path(path)
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "does not exist"
            raise StoreError(f"feature database {os.fspath(path)!r} {what}; create one with: edgefeat extract --into")
        with as_store_errors(file):
            connection = connect(file, "ro")
            try:
                check_kind(connection, file)
                return cls(file, connection, read_identity(connection, file))
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<edgefeat.FeatureStore {self._path}: {self._identity.bundle} {self._identity.variant}>"

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._path

    @property
    def identity(self) -> StoreIdentity:
        """What made the features: bundle, variant, engine, decoding and precision."""
        return self._identity

    @property
    def taps(self) -> tuple[StoreTap, ...]:
        """The taps whose features are stored, in the bundle's order."""
        return self._identity.taps

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run that wrote to the database, oldest first, with the versions used."""
        columns = "id, started, ended, edgefeat, engine_version, python, numpy, pillow, system"
        with as_store_errors(self._path):
            return tuple(Run(*row) for row in self._connection.execute(f"SELECT {columns} FROM runs ORDER BY id"))

    def __len__(self) -> int:
        """Return the number of photos with features."""
        return self._count("ok")

    @property
    def failed(self) -> int:
        """The number of photos that failed."""
        return self._count("failed")

    def rows(self) -> Iterator[Photo]:
        """Yield every photo's row, including failed ones, sorted by path."""
        yield from self._photos("")

    def failures(self) -> Iterator[Photo]:
        """Yield the rows of photos that failed; `error` is the reason."""
        yield from self._photos("WHERE status = 'failed'")

    def known(self, path: str) -> Known | None:
        """Return what the database has for an absolute path, or None."""
        with as_store_errors(self._path):
            return lookup.known(self._connection, path)

    def paths_below(self, folder: str, *, after: str | None = None) -> list[str]:
        """Return the first thousand paths below a folder, including those of photos that failed, or the next ones.

        Those follow the path `after`. The list is empty behind the last one. Others may write between two calls.
        """
        start = os.fsencode(os.path.join(folder, ""))
        end = start[:-1] + bytes([start[-1] + 1])
        last = None if after is None else path_to_sql(after)
        found: list[str] = []
        for kind, as_stored in ((str, _as_text), (bytes, bytes)):  # SQLite sorts text before bytes: not UTF-8
            if kind is str and isinstance(last, bytes):
                continue
            place = last if isinstance(last, kind) else as_stored(start)
            with as_store_errors(self._path):
                rows = self._connection.execute(
                    "SELECT path FROM photos WHERE path > ? AND path < ? ORDER BY path LIMIT ?",
                    (place, as_stored(end), _PAGE - len(found)),
                )
                found += [path_from_sql(path) for (path,) in rows]
        return found

    def hashes_of_size(self, size: int) -> list[str]:
        """Return the SHA-256 (hex) of some photos with features and this size."""
        with as_store_errors(self._path):
            return lookup.hashes_of_size(self._connection, size)

    def paths(self) -> Iterator[str]:
        """Yield the paths of the photos with features, in the order of `chunks`."""
        with as_store_errors(self._path):
            for (path,) in self._connection.execute("SELECT path FROM photos WHERE status = 'ok' ORDER BY path"):
                try:
                    yield path_from_sql(path)
                except TypeError:
                    raise self._damaged(path) from None

    def chunks(self, tap: str | None = None, rows: int = 4096) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Yield the features of `tap`, at most `rows` photos at a time: their paths, and float32 (n, D).

        D is the product of the tap's shape. Only one chunk is in memory at a time. `tap` may be omitted if there is
        only one. Raises ArgumentError for an unknown tap, StoreError if a row is damaged.
        """
        index = self._tap_index(tap)
        for paths, features in self._chunks((index,), rows):
            yield paths, features[0]

    def chunks_by_tap(self, rows: int = 4096) -> Iterator[tuple[list[str], dict[str, NDArray[np.float32]]]]:
        """Yield chunks as `chunks` does, with the features of every tap: by name, float32 (n, *shape)."""
        for paths, features in self._chunks(tuple(range(len(self.taps))), rows):
            pairs = zip(self.taps, features, strict=True)
            yield paths, {tap.name: feature.reshape(len(paths), *tap.shape) for tap, feature in pairs}

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Keep the rows unchanged during the block: a run that wants to write waits, and then fails."""
        with as_store_errors(self._path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def feature(self, path: str, tap: str | None = None) -> NDArray[np.float32] | None:
        """Return the feature of one photo, float32 (D,), or None if the database has none for that path."""
        index = self._tap_index(tap)
        with as_store_errors(self._path):
            found = self._connection.execute(
                f"SELECT {_PHOTO}, crc32, scales, data FROM photos JOIN features ON photo = id WHERE path = ?",
                (path_to_sql(os.path.abspath(path)),),
            ).fetchone()
        return None if found is None else self._decoded([found], (index,))[1][0][0]

    def _chunks(self, indices: tuple[int, ...], rows: int) -> Iterator[tuple[list[str], list[NDArray[np.float32]]]]:
        if rows < 1:
            raise ArgumentError(f"rows is {rows} (allowed: 1 or more)")
        with as_store_errors(self._path):
            # CROSS makes SQLite keep the order of the tables, so that the index on paths sorts the rows.
            cursor = self._connection.execute(
                f"SELECT {_PHOTO}, crc32, scales, data FROM photos CROSS JOIN features ON photo = id "
                "WHERE status = 'ok' ORDER BY path"
            )
            while found := cursor.fetchmany(rows):
                yield self._decoded(found, indices)

    def _decoded(
        self, found: list[tuple[object, ...]], indices: tuple[int, ...]
    ) -> tuple[list[str], list[NDArray[np.float32]]]:
        sizes = [math.prod(tap.shape) for tap in self.taps]
        ends = [stored_size(sum(sizes[: index + 1]), self._identity.precision) for index in range(len(sizes))]
        scale_bytes = _SCALE_BYTES * len(sizes) if self._identity.precision == "int8" else 0
        paths: list[str] = []
        blobs: list[bytes] = []
        scales: list[bytes] = []
        for *row, crc, scale, data in found:
            photo = self._photo(tuple(row))
            if not isinstance(scale, bytes) or not isinstance(data, bytes):
                raise self._damaged(photo.path)
            if (len(scale), len(data)) != (scale_bytes, ends[-1]):
                raise self._damaged(photo.path)
            if crc32(photo, scale, data) != crc:
                raise self._damaged(photo.path)
            paths.append(photo.path)
            blobs.append(data)
            scales.append(scale)
        features = []
        for index in indices:
            start, end = ends[index - 1] if index else 0, ends[index]
            each = slice(index * _SCALE_BYTES, (index + 1) * _SCALE_BYTES)
            data_of_tap = [data[start:end] for data in blobs] if len(ends) > 1 else blobs
            of_tap = [scale[each] for scale in scales]
            features.append(decode(data_of_tap, of_tap, self._identity.precision, sizes[index]))
            whole = np.isfinite(features[-1]).all(axis=1)  # the writer stores finite values only
            if not whole.all():
                raise self._damaged(paths[int(np.argmin(whole))])
        return paths, features

    def _photo(self, row: tuple[object, ...]) -> Photo:
        try:
            return photo_from_sql(row)
        except TypeError:
            raise self._damaged(repr(row[0])) from None

    def _damaged(self, path: str) -> StoreError:
        return StoreError(
            f"{self._path}: the row of {path} is damaged; `edgefeat extract ... --into {self._path} --check` repairs it"
        )

    def _tap_index(self, tap: str | None) -> int:
        names = [one.name for one in self.taps]
        if tap is None and len(names) == 1:
            return 0
        if tap not in names:
            said = "there are several taps" if tap is None else f"tap {tap!r} is unknown"
            raise ArgumentError(f"{said} (allowed: {', '.join(names)})")
        return names.index(tap)

    def _count(self, status: str) -> int:
        with as_store_errors(self._path):
            (count,) = self._connection.execute("SELECT count(*) FROM photos WHERE status = ?", (status,)).fetchone()
        return int(count)

    def _photos(self, where: str) -> Iterator[Photo]:
        with as_store_errors(self._path):
            for row in self._connection.execute(f"SELECT {_PHOTO} FROM photos {where} ORDER BY path"):
                yield self._photo(row)
