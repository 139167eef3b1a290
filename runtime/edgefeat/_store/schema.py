"""The tables of a feature database, and how their values are spelled.

    about      key, value (JSON)      what made the features: see `StoreIdentity`
    runs       one row a call of `extract --into`
    photos     one row a photo: path, size, mtime_ns, sha256, status, error, run, crc32
    features   one row a photo that is ok: its features by tap, one after another, in `data`

A path is text, or where its bytes are not UTF-8, those bytes. `crc32` is over the rest of the photo's two rows, so that
damage is noticed whatever caused it.
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

__all__ = [
    "APPLICATION_ID",
    "CREATE",
    "PAGE_SIZE",
    "SCHEMA",
    "check_kind",
    "connect",
    "crc32",
    "path_from_sql",
    "path_to_sql",
    "photo_from_sql",
    "read_identity",
    "said_plainly",
    "write_identity",
]

#: "edgf", where `file` and SQLite's own tools look for it.
APPLICATION_ID = 0x65646766
SCHEMA = 1

#: Features of 1,280 values fill pages of this size to 94 % in every precision; of SQLite's own 4 KB, some only to 62 %.
PAGE_SIZE = 16384

# SQLite's largest value, of 1 GB, holds so many.
_MOST_VALUES = 250_000_000

CREATE = (
    "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, edgefeat TEXT NOT NULL,"
    " engine_version TEXT NOT NULL, python TEXT NOT NULL, numpy TEXT NOT NULL, pillow TEXT NOT NULL,"
    " system TEXT NOT NULL)",
    # No type for `path`: text and bytes stay what they are.
    "CREATE TABLE photos (id INTEGER PRIMARY KEY, path NOT NULL UNIQUE, size INTEGER, mtime_ns INTEGER, sha256 BLOB,"
    " status TEXT NOT NULL CHECK (status IN ('ok', 'failed')), error TEXT, run INTEGER NOT NULL REFERENCES runs,"
    " crc32 INTEGER NOT NULL)",
    "CREATE INDEX photos_by_size ON photos (size)",
    "CREATE TABLE features (photo INTEGER PRIMARY KEY REFERENCES photos, scales BLOB NOT NULL, data BLOB NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that commits only when told to. `mode` is SQLite's: `ro`, `rw` or `rwc`."""
    # Several threads may read in turn: SQLite itself is built serialized wherever Python's module is.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=1.0, check_same_thread=False
    )
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return connection


@contextmanager
def said_plainly(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into a StoreError that says what can be done."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(_sentence(path, str(error))) from error


def _sentence(path: Path, said: str) -> str:
    again = "the same `edgefeat extract ... --into` goes on where it stopped"
    if "locked" in said or "busy" in said:
        return f"{path} is in use by another process, such as a running `edgefeat extract`: try again when it has ended"
    if "full" in said:
        return f"{path} cannot be written: the disk is full; free some space, {again}"
    if "disk I/O" in said:
        return f"{path} cannot be read or written: {said} (a disk that is full, fails or is gone); {again}"
    if "readonly" in said or "read-only" in said:
        return f"{path} cannot be written: the file or its folder is read-only"
    if "not a database" in said:
        return f"{path} is not a feature database (expected: a file that `edgefeat extract --into` wrote)"
    if "malformed" in said or "corrupt" in said:
        return f"{path} is damaged ({said}); the same `edgefeat extract ... --into` with --check mends it"
    if "closed database" in said:
        return f"{path} was closed: open it again with FeatureStore.open"
    if "unable to open" in said:
        return f"{path} cannot be opened; where a run was killed, its folder must be writable: {again}"
    return f"{path} cannot be used: {said}; {again}"


def check_kind(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError where the file is another program's database or of a newer schema."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is not a feature database (expected: a file that `edgefeat extract --into` wrote)")
    if version != SCHEMA:
        raise StoreError(
            f"{path} has schema version {version}, this edgefeat reads version {SCHEMA}: "
            "update it with: pip install -U edgefeat"
        )


def write_identity(connection: sqlite3.Connection, identity: StoreIdentity) -> None:
    """Writes or replaces what the database says it was made by."""
    for key, value in to_json(identity).items():
        connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, json.dumps(value)))


def read_identity(connection: sqlite3.Connection, path: Path) -> StoreIdentity:
    """What made the features. Raises StoreError where that is not what this version writes."""
    try:
        about = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM about")}
        place = about.pop("place", "")
        # Apart from the rest: a folder's name may hold what no text of ours does.
        identity = from_json(StoreIdentity, {**about, "place": ""}).at(str(place))
        _check_taps(identity.taps)
    except (RecordError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: what made its features cannot be read: {error}") from None
    except RecursionError:
        raise StoreError(f"{path}: what made its features cannot be read: it is nested too deeply") from None
    return identity


def _check_taps(taps: tuple[StoreTap, ...]) -> None:
    """Raises RecordError for taps that no bundle has: their names are used in files, their sizes in memory."""
    if not taps:
        raise RecordError("there are no taps (allowed: one or more)")
    if len({tap.name for tap in taps}) < len(taps):
        raise RecordError(f"a tap is there twice: {', '.join(tap.name for tap in taps)}")
    for tap in taps:
        if tap.name in ("", ".", "..") or set(tap.name) & set("/\\"):
            raise RecordError(f"taps: {tap.name!r} (allowed: a name without / and \\)")
        if not tap.shape or min(tap.shape) < 1 or math.prod(tap.shape) > _MOST_VALUES:
            raise RecordError(
                f"taps: {tap.name} has shape {tap.shape} (allowed: positive sizes, {_MOST_VALUES} values)"
            )


def path_to_sql(path: str) -> str | bytes:
    """The path as it is stored: text, or its bytes where they are not UTF-8."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def path_from_sql(path: str | bytes) -> str:
    """The path as Python names the file. Raises TypeError for what is neither text nor bytes."""
    return path if isinstance(path, str) else os.fsdecode(path)


def photo_from_sql(row: tuple[object, ...]) -> Photo:
    """The record of the columns path, size, mtime_ns, sha256, status, error, run.

    Raises TypeError where one is of another type: SQLite holds anything anywhere.
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
    """The checksum of a photo's row together with its features."""
    facts = (photo.size, photo.mtime_ns, photo.sha256, photo.status, photo.error, photo.run)
    head = os.fsencode(photo.path) + repr(facts).encode("utf-8", "surrogateescape") + b"\0"
    return zlib.crc32(data, zlib.crc32(scales, zlib.crc32(head)))
