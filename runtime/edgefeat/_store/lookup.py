"""What a database has for a path or a size, for readers and the writer."""

from __future__ import annotations

import sqlite3

from edgefeat._store.records import Known
from edgefeat._store.schema import path_to_sql

__all__ = ["hashes_of_size", "known"]

# Compare at most this many photos of equal size by hash.
_MOST_HASHES = 32


def known(connection: sqlite3.Connection, path: str) -> Known | None:
    """Return what the database has for an absolute path, or None."""
    found = connection.execute(
        "SELECT size, mtime_ns, status FROM photos WHERE path = ?", (path_to_sql(path),)
    ).fetchone()
    return None if found is None else Known(*found)


def hashes_of_size(connection: sqlite3.Connection, size: int) -> list[str]:
    """Return the SHA-256 (hex) of some photos with features and this size: a file with one of them is known."""
    found: list[bytes] = []
    while len(found) < _MOST_HASHES:
        # One by one, in the order of the index: with DISTINCT, thousands of equal photos would be read for each.
        (digest,) = connection.execute(
            "SELECT min(sha256) FROM photos WHERE size = ? AND sha256 > ? AND status = 'ok' AND sha256 IS NOT NULL",
            (size, found[-1] if found else b""),
        ).fetchone()
        if not isinstance(digest, bytes):
            break
        found.append(digest)
    return [digest.hex() for digest in found]
