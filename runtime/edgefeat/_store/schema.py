"""The tables of a feature database and the format of their values.

    about      key, value (JSON)      what made the features: see `StoreIdentity`
    runs       one row for each run of `extract --into`
    photos     one row for each photo: path, size, mtime_ns, sha256, status, error, run, crc32
    features   one row for each photo that is ok: its features by tap, concatenated, in `data`

A path is text or, if it is not UTF-8, bytes. `crc32` covers the rest of the photo's two rows, so that damage is
detected.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgefeat._bundle.json_records import RecordError, from_json, to_json
from edgefeat._errors import StoreError
from edgefeat._store.records import Photo, StoreIdentity, StoreTap
from edgefeat._version import update_command

__all__ = [
    "APPLICATION_ID",
    "CREATE",
    "INDEX_OF_CONTENT",
    "PAGE_SIZE",
    "SCHEMA",
    "as_store_errors",
    "check_kind",
    "connect",
    "crc32",
    "is_in_use",
    "path_from_sql",
    "path_to_sql",
    "photo_from_sql",
    "read_identity",
    "write_identity",
]

#: "edgf", recognised by `file` and SQLite's own tools.
APPLICATION_ID = 0x65646766
SCHEMA = 1

#: With this page size, features of 1,280 values fill pages to 94 % in every precision; with SQLite's 4 KB, some to 62
#: %.
PAGE_SIZE = 16384

# The number of values in SQLite's largest value, 1 GB.
_MOST_VALUES = 250_000_000

CREATE = (
    "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, edgefeat TEXT NOT NULL,"
    " engine_version TEXT NOT NULL, python TEXT NOT NULL, numpy TEXT NOT NULL, pillow TEXT NOT NULL,"
    " system TEXT NOT NULL)",
    # No type for `path`: text and bytes are stored unchanged.
    "CREATE TABLE photos (id INTEGER PRIMARY KEY, path NOT NULL UNIQUE, size INTEGER, mtime_ns INTEGER, sha256 BLOB,"
    " status TEXT NOT NULL CHECK (status IN ('ok', 'failed')), error TEXT, run INTEGER NOT NULL REFERENCES runs,"
    " crc32 INTEGER NOT NULL)",
    "CREATE INDEX photos_by_size ON photos (size)",
    "CREATE TABLE features (photo INTEGER PRIMARY KEY REFERENCES photos, scales BLOB NOT NULL, data BLOB NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)


#: For photos with the same content as one that is known. Many may have one size: frames of a camera, empty files.
INDEX_OF_CONTENT = (
    "CREATE INDEX IF NOT EXISTS photos_by_content ON photos (size, sha256) WHERE status = 'ok' AND sha256 IS NOT NULL"
)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a connection that commits only on request. `mode` is SQLite's: `ro`, `rw` or `rwc`."""
    # Threads may read one after another: SQLite is built serialized wherever Python's module is.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=1.0, check_same_thread=False
    )
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return connection


@contextmanager
def as_store_errors(path: Path) -> Iterator[None]:
    """Convert SQLite's errors to a StoreError that says what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(_sentence(path, str(error))) from error


def is_in_use(error: StoreError) -> bool:
    """Return whether the only reason of the error is that another process writes."""
    cause = error.__cause__
    # The lower byte of an extended code is the code.
    return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _sentence(path: Path, said: str) -> str:
    again = "the same `edgefeat extract ... --into` resumes where it stopped"
    if "locked" in said or "busy" in said:
        return f"{path} is in use by another process, such as a running `edgefeat extract`: try again when it has ended"
    if "full" in said:
        return f"{path} cannot be written: the disk is full; free some space, {again}"
    if "disk I/O" in said:
        return f"{path} cannot be read or written: {said} (a disk that is full, fails or is gone); {again}"
    if "readonly" in said or "read-only" in said:
        return f"{path} cannot be written: the file or its folder is read-only"
    if "not a database" in said:
        return f"{path} is not a feature database (expected: a file written by `edgefeat extract --into`)"
    if "malformed" in said or "corrupt" in said:
        return f"{path} is damaged ({said}); the same `edgefeat extract ... --into` with --check repairs it"
    if "closed database" in said:
        return f"{path} was closed: open it again with FeatureStore.open"
    if "unable to open" in said:
        return f"{path} cannot be opened; where a run was killed, its folder must be writable: {again}"
    return f"{path} cannot be used: {said}; {again}"


def check_kind(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError if the file is another program's database or has a newer schema."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is not a feature database (expected: a file written by `edgefeat extract --into`)")
    if version != SCHEMA:
        raise StoreError(
            f"{path} has schema version {version}, this edgefeat reads version {SCHEMA}: update it: {update_command()}"
        )


def write_identity(connection: sqlite3.Connection, identity: StoreIdentity) -> None:
    """Write or replace the identity of the database."""
    for key, value in to_json(identity).items():
        connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, json.dumps(value)))


def read_identity(connection: sqlite3.Connection, path: Path) -> StoreIdentity:
    """Return the identity of the database. Raises StoreError if it is not in this version's format."""
    try:
        about = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM about")}
        place = about.pop("place", "")
        # Separate from the rest: a folder's name may contain characters that other fields must not.
        identity = from_json(StoreIdentity, {**about, "place": ""}).at(str(place))
        _check_taps(identity.taps)
    except (RecordError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: its identity cannot be read: {error}") from None
    except RecursionError:
        raise StoreError(f"{path}: its identity cannot be read: it is nested too deeply") from None
    return identity


def _check_taps(taps: tuple[StoreTap, ...]) -> None:
    """Raise RecordError for taps that no bundle can have: names are used in files, sizes in memory."""
    if not taps:
        raise RecordError("there are no taps (allowed: one or more)")
    if len({tap.name for tap in taps}) < len(taps):
        raise RecordError(f"a tap is listed twice: {', '.join(tap.name for tap in taps)}")
    for tap in taps:
        if tap.name in ("", ".", "..") or set(tap.name) & set("/\\"):
            raise RecordError(f"taps: {tap.name!r} (allowed: a name without / and \\)")
        if not tap.shape or min(tap.shape) < 1 or math.prod(tap.shape) > _MOST_VALUES:
            raise RecordError(
                f"taps: {tap.name} has shape {tap.shape} (allowed: positive sizes, {_MOST_VALUES} values)"
            )


def path_to_sql(path: str) -> str | bytes:
    """Return a path as it is stored: text, or bytes if it is not UTF-8."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def path_from_sql(path: str | bytes) -> str:
    """Return a stored path as Python names the file. Raises TypeError for other types."""
    return path if isinstance(path, str) else os.fsdecode(path)


def photo_from_sql(row: tuple[object, ...]) -> Photo:
    """Return the record of the columns path, size, mtime_ns, sha256, status, error, run.

    Raises TypeError for a value of another type: SQLite stores any type in any column.
    """
    path, size, mtime_ns, sha256, status, error, run = row
    for value, kind in ((size, int), (mtime_ns, int), (sha256, bytes), (error, str)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{value!r} is not of {kind.__name__}")
    if status not in ("ok", "failed") or not isinstance(run, int):
        raise TypeError(f"status {status!r} or run {run!r}")
    digest = sha256.hex() if isinstance(sha256, bytes) else None
    return Photo(path_from_sql(path), size, mtime_ns, digest, status, error, run)  # type: ignore[arg-type]  # by column


def crc32(photo: Photo, scales: bytes, data: bytes) -> int:
    """Return the checksum of a photo's row and its features."""
    facts = (photo.size, photo.mtime_ns, photo.sha256, photo.status, photo.error, photo.run)
    head = os.fsencode(photo.path) + repr(facts).encode("utf-8", "surrogateescape") + b"\0"
    return zlib.crc32(data, zlib.crc32(scales, zlib.crc32(head)))
