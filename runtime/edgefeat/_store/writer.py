"""Writing a feature database. If the process is killed, all committed rows are intact."""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from edgefeat._errors import ArgumentError, StoreError
from edgefeat._store import lookup
from edgefeat._store.locking import locked, write_ahead
from edgefeat._store.records import Known, Photo, StoreIdentity, Versions
from edgefeat._store.repair import looks_interrupted, repair
from edgefeat._store.schema import (
    CREATE,
    INDEX_OF_CONTENT,
    as_store_errors,
    check_kind,
    crc32,
    path_to_sql,
    photo_from_sql,
    read_identity,
    write_identity,
)
from edgefeat._version import __version__

__all__ = ["StoreWriter", "check_target"]


def check_target(path: Path) -> None:
    """Raise ArgumentError early if no database can be written at `path`."""
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir():
        raise ArgumentError(
            f"--into {os.fspath(path)!r} cannot be written: its folder does not exist, or a folder has this name"
        )
    if path.exists() and not path.is_file():
        raise ArgumentError(f"--into {os.fspath(path)!r} is a pipe or device (allowed: a file)")
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ArgumentError(f"--into {os.fspath(path)!r} cannot be written: the file or its folder is read-only")


class StoreWriter:
    """The only writer of a database. Nothing is permanent before `commit`.

    It writes to `<file>-wal` first, without the shared memory that network drives lack, and locks the file until
    `close`, which leaves a single plain file. All methods raise StoreError if SQLite fails.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, identity: StoreIdentity | None, *, created: bool
    ) -> None:
        self._path = path
        self._connection = connection
        self._identity = identity
        # Whether closing now would leave an empty file that did not exist before.
        self._is_needless = created
        self._run = 0

    @classmethod
    def open(
        cls, path: Path, *, check: bool = False, alive: Callable[[], None] | None = None
    ) -> tuple[StoreWriter, str | None]:
        """Open or create the database at `path`. Return the writer, and a message if damage was repaired.

        All rows are checked first if the last run was killed or `check` is set; `alive` is called meanwhile, often.
        """
        path = Path(os.path.realpath(path))  # what is made beside the file belongs beside the file, not a link to it
        check_target(path)
        repaired = None
        if path.exists() and path.stat().st_size and (check or looks_interrupted(path)):
            repaired = repair(path, alive)
        with as_store_errors(path):
            connection, was_empty = locked(path)
            try:
                identity = None
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
                    check_kind(connection, path)
                    identity = read_identity(connection, path)
                return cls(path, connection, identity, created=was_empty and identity is None), repaired
            except BaseException:
                connection.close()
                raise

    @property
    def identity(self) -> StoreIdentity | None:
        """What made the features; None for a new database."""
        return self._identity

    def begin(self, identity: StoreIdentity, versions: Versions, *, resume: int | None = None) -> None:
        """Start a run, or go on with the run `resume` if it is the last one and of the same versions.

        A new database takes the identity; an existing one must have the same. Raises StoreError if they differ.
        """
        if self._identity is not None and self._identity.at("") != identity.at(""):
            raise StoreError(f"{self._path} holds features of {self._identity}, not of {identity}")
        facts = (_now(), __version__, versions.engine, platform.python_version(), versions.numpy, versions.pillow)
        with as_store_errors(self._path):
            write_ahead(self._connection)
            self._connection.execute("BEGIN IMMEDIATE")
            if self._identity is None:
                for statement in CREATE:
                    self._connection.execute(statement)
            self._connection.execute(INDEX_OF_CONTENT)  # databases of earlier versions lack it
            write_identity(self._connection, identity)
            if resume is not None and self._is_last(resume, facts[1:]):
                self._run = resume
            else:
                cursor = self._connection.execute(
                    "INSERT INTO runs (started, edgefeat, engine_version, python, numpy, pillow, system)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*facts, f"{platform.system()} {platform.machine()}"),
                )
                self._run = int(cursor.lastrowid or 0)
            self._connection.execute("COMMIT")
        self._identity = identity

    def _is_last(self, run: int, versions: tuple[str, ...]) -> bool:
        found = self._connection.execute(
            "SELECT id, edgefeat, engine_version, python, numpy, pillow FROM runs ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return found is not None and tuple(found) == (run, *versions)

    @property
    def run(self) -> int:
        """The number of the current run."""
        return self._run

    def last_engine_version(self) -> str | None:
        """Return the engine's version in the previous run, or None."""
        if self._identity is None:
            return None
        with as_store_errors(self._path):
            found = self._connection.execute(
                "SELECT engine_version FROM runs WHERE id <> ? ORDER BY id DESC LIMIT 1", (self._run,)
            ).fetchone()
        return None if found is None else str(found[0])

    def known(self, path: str) -> Known | None:
        """Return what the database has for a path, or None."""
        if self._identity is None:
            return None
        with as_store_errors(self._path):
            return lookup.known(self._connection, path)

    def hashes_of_size(self, size: int) -> list[str]:
        """Return the SHA-256 (hex) of photos with this size: a file with one of them is already known."""
        if self._identity is None:
            return []
        with as_store_errors(self._path):
            return lookup.hashes_of_size(self._connection, size)

    def put(self, photo: Photo, scales: bytes, data: bytes) -> None:
        """Write a photo's row, replacing the previous one of its path. `data` is empty for a failed photo."""
        digest = None if photo.sha256 is None else bytes.fromhex(photo.sha256)
        facts = (photo.size, photo.mtime_ns, digest, photo.status, photo.error, photo.run, crc32(photo, scales, data))
        path = path_to_sql(photo.path)
        with as_store_errors(self._path):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            self._is_needless = False
            put = self._connection.execute(
                "INSERT INTO photos (size, mtime_ns, sha256, status, error, run, crc32, path)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*facts, path),
            )
            row = put.lastrowid
            if not put.rowcount:
                (row,) = self._connection.execute("SELECT id FROM photos WHERE path = ?", (path,)).fetchone()
                self._connection.execute(
                    "UPDATE photos SET size = ?, mtime_ns = ?, sha256 = ?, status = ?, error = ?, run = ?, crc32 = ?"
                    " WHERE id = ?",
                    (*facts, row),
                )
                self._connection.execute("DELETE FROM features WHERE photo = ?", (row,))
            if photo.status == "ok":
                self._connection.execute("INSERT INTO features VALUES (?, ?, ?)", (row, scales, data))

    def put_same(self, path: str, size: int, mtime_ns: int, sha256: str) -> bool:
        """Write a photo's row with the feature of a photo with the same content. Return False if there is none."""
        with as_store_errors(self._path):
            found = self._connection.execute(
                "SELECT path, size, mtime_ns, sha256, status, error, run, crc32, scales, data"
                " FROM photos JOIN features ON photo = id WHERE size = ? AND sha256 = ? AND status = 'ok' LIMIT 1",
                (size, bytes.fromhex(sha256)),
            ).fetchone()
        if found is None:
            return False
        *row, crc, scales, data = found
        try:
            other = photo_from_sql(tuple(row))
            if crc32(other, scales, data) != crc:
                return False
        except TypeError:  # a damaged column has another type
            return False
        self.put(Photo(path, size, mtime_ns, sha256, "ok", other.error, other.run), scales, data)
        return True

    def remove(self, path: str) -> bool:
        """Remove a photo's row and feature. Return False if there is none."""
        with as_store_errors(self._path):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            found = self._connection.execute("SELECT id FROM photos WHERE path = ?", (path_to_sql(path),)).fetchone()
            if found is None:
                return False
            self._is_needless = False
            self._connection.execute("DELETE FROM features WHERE photo = ?", found)
            self._connection.execute("DELETE FROM photos WHERE id = ?", found)
        return True

    def commit(self) -> None:
        """Make the rows permanent, even if the process is killed right after."""
        if self._connection.in_transaction:
            with as_store_errors(self._path):
                self._connection.execute("COMMIT")

    def close(self) -> None:
        """Commit, end the run, and leave one plain file that can be read from read-only media."""
        try:
            with as_store_errors(self._path):
                if self._run:
                    if not self._connection.in_transaction:
                        self._connection.execute("BEGIN IMMEDIATE")
                    self._connection.execute("UPDATE runs SET ended = ? WHERE id = ?", (_now(), self._run))
                    self._connection.execute("COMMIT")
                self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        finally:
            self._end()
        # Readers of a killed run's file leave this index behind; this writer never uses it.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._path}-shm")

    def abandon(self) -> None:
        """Close the file without another row: committed rows stay."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            # Otherwise the next run takes it for interrupted, and checks every row.
            self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        with contextlib.suppress(sqlite3.Error):
            self._end()

    def _end(self) -> None:
        """Close the file. An empty one is removed first, so that who waits for its lock finds that it is gone."""
        if os.name == "posix":
            self._discard_empty()
        self._connection.close()
        if os.name != "posix":  # where an open file cannot be removed
            self._discard_empty()

    def _discard_empty(self) -> None:
        if self._is_needless:
            for ending in ("", "-wal"):
                with contextlib.suppress(OSError):
                    os.unlink(f"{self._path}{ending}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
