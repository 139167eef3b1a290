"""Repairing a database after a killed run or a lost journal: rows are checked one by one, intact rows are kept."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from edgefeat._errors import StoreError
from edgefeat._store.schema import (
    CREATE,
    PAGE_SIZE,
    as_store_errors,
    check_kind,
    connect,
    crc32,
    photo_from_sql,
    read_identity,
    write_identity,
)

__all__ = ["looks_interrupted", "repair"]

_ROW = "id, path, size, mtime_ns, sha256, status, error, run, crc32, scales, data"
_RUN = "id, started, ended, edgefeat, engine_version, python, numpy, pillow, system"
# Byte 18 of a SQLite file is 2 in WAL mode; `StoreWriter.close` resets it.
_WRITE_VERSION = 18
# Of SQLite's machine, between two signs of life.
_STEPS = 10_000


def looks_interrupted(path: Path) -> bool:
    """Return whether the last run on the file was not closed."""
    with open(path, "rb") as stream:
        head = stream.read(_WRITE_VERSION + 1)
    journals = (Path(f"{path}-wal"), Path(f"{path}-journal"))
    return head[_WRITE_VERSION:] == b"\x02" or any(journal.exists() for journal in journals)


def repair(path: Path, alive: Callable[[], None] | None = None) -> str | None:
    """Read every row. If one is damaged, replace the file with the intact rows and return a message.

    `alive` is called meanwhile, every fraction of a second.
    Raises StoreError if the file belongs to another program, is in use, or is too damaged to keep anything.
    """
    with as_store_errors(path):
        connection = connect(path, "rw")
    connection.set_progress_handler(alive, _STEPS)
    try:
        if _is_whole(connection, path):
            return None
        kept = _rebuild(connection, path)
    finally:
        connection.close()
    _take_place(path)
    return f"{path} was damaged: {kept} intact rows were kept, the missing ones are computed again"


def _repaired(path: Path) -> Path:
    return Path(f"{path}.mending")


def _is_whole(connection: sqlite3.Connection, path: Path) -> bool:
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            return True  # killed before its first transaction ended
        check_kind(connection, path)
        if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            return False
        rows = connection.execute(f"SELECT {_ROW} FROM photos LEFT JOIN features ON photo = id")
        return all(_is_sound(row) for row in rows)
    except sqlite3.DatabaseError as error:
        if "malformed" in str(error) or "corrupt" in str(error):
            return False
        with as_store_errors(path):
            raise


def _is_sound(row: tuple[object, ...]) -> bool:
    _, *columns, crc, scales, data = row
    try:
        photo = photo_from_sql(tuple(columns))
        if photo.status == "ok" and isinstance(scales, bytes) and isinstance(data, bytes):
            return crc32(photo, scales, data) == crc
        return photo.status == "failed" and data is None and crc32(photo, b"", b"") == crc
    except (TypeError, ValueError, AttributeError):  # a damaged column has another type
        return False


def _rebuild(connection: sqlite3.Connection, path: Path) -> int:
    """Write the intact rows to a new file and return their number."""
    try:
        # Otherwise SQLite reads nothing from a truncated file, not even intact pages.
        connection.execute("PRAGMA writable_schema = ON")
        identity = read_identity(connection, path)
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{path} is damaged and nothing in it can be recovered ({error}): "
            "move it away and run the same command again"
        ) from error
    fresh = _repaired(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    with as_store_errors(fresh):
        target = connect(fresh, "rwc")
        try:
            target.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            target.execute("BEGIN")
            for statement in CREATE:
                target.execute(statement)
            write_identity(target, identity)
            kept = _copy(connection, target)
            target.execute("COMMIT")
        except BaseException:
            target.close()
            fresh.unlink()
            raise
        target.close()
    return kept


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    kept = 0
    runs: set[object] = set()
    for row in _readable(source, "photos", f"SELECT {_ROW} FROM photos LEFT JOIN features ON photo = id WHERE id"):
        if not _is_sound(row):
            continue
        number, path, size, mtime_ns, sha256, status, error, run, crc, scales, data = row
        cursor = target.execute(
            "INSERT OR IGNORE INTO photos VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, path, size, mtime_ns, sha256, status, error, run, crc),
        )
        if cursor.rowcount == 1:
            kept += 1
            runs.add(run)
            if status == "ok":
                target.execute("INSERT INTO features VALUES (?, ?, ?)", (number, scales, data))
    for row in _readable(source, "runs", f"SELECT {_RUN} FROM runs WHERE id"):
        with contextlib.suppress(sqlite3.IntegrityError):  # a damaged row lacks required values
            target.execute(f"INSERT INTO runs ({_RUN}) VALUES ({', '.join('?' * len(row))})", row)
            runs.discard(row[0])
    for run in runs:
        target.execute(f"INSERT INTO runs ({_RUN}) VALUES (?{', ?' * 8})", (run, *["lost"] * 8))
    return kept


def _readable(source: sqlite3.Connection, table: str, select: str) -> Iterator[tuple[object, ...]]:
    """Yield the readable rows by number, so that a damaged page loses only its own rows."""
    number, last = 0, _last(source, table)
    while number < last:
        try:
            for row in source.execute(f"{select} > ? ORDER BY id", (number,)):
                if int(row[0]) <= number:  # a damaged tree may contain loops
                    raise sqlite3.DatabaseError("rows out of order")
                number = int(row[0])
                yield row
            return
        except sqlite3.DatabaseError:
            number += 1


def _last(source: sqlite3.Connection, table: str) -> int:
    try:
        (last,) = source.execute(f"SELECT max(id) FROM {table}").fetchone()
        return int(last or 0)
    except (sqlite3.DatabaseError, ValueError):
        (pages,) = source.execute("PRAGMA page_count").fetchone()
        return int(pages) * _MOST_A_PAGE


# A photo's row takes at least 60 bytes.
_MOST_A_PAGE = PAGE_SIZE // 60


def _take_place(path: Path) -> None:
    """Replace the damaged file with the repaired one. Its journal is removed first: it would be applied to the new
    file.
    """
    for ending in ("-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}{ending}")
    os.replace(_repaired(path), path)
