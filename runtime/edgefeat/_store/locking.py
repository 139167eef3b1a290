"""A database of one writer: the file is locked until it is closed, and written ahead."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edgefeat._store.schema import PAGE_SIZE, connect

__all__ = ["locked", "write_ahead"]

# A checkpoint, the only wait for the disk, happens every 16 MB.
_CHECKPOINT_PAGES = 1000


def locked(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Return a connection that has the lock of the file at `path`, created if need be, and whether it was empty.

    Another run may remove its empty file while this one waits for the lock: then there is a new one to open.
    """
    while True:
        was_empty = not path.exists() or not path.stat().st_size
        connection = connect(path, "rwc")
        try:
            opened = _file_at(path)
            _lock(connection)
            if opened is not None and opened == _file_at(path):
                return connection, was_empty
        except BaseException:
            connection.close()
            raise
        connection.close()


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _lock(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # for a new file
    # Before the journal mode is set: only then SQLite needs no shared memory, which network drives lack.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
    # Take the lock now and keep it: a second run fails before it starts its workers.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")


def write_ahead(connection: sqlite3.Connection) -> None:
    """Write to `<file>-wal` first."""
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    # A killed process loses nothing. After a power cut the last rows may be missing; the next run computes them.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}").fetchone()
