"""Records of a feature database: its identity, runs and photos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edgefeat._images.form import Decoding
from edgefeat._store.precision import Precision

__all__ = ["Known", "Photo", "Run", "Status", "StoreIdentity", "StoreTap", "Versions"]

Status = Literal["ok", "failed"]


@dataclass(frozen=True, slots=True)
class StoreTap:
    """A tap in the database; `shape` is the shape of one photo's feature."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """What made the features in the database: the same for every row.

    `bundle` is the bundle's name, `place` its last known folder, `manifest_sha256` its identity.
    """

    bundle: str
    place: str
    manifest_sha256: str
    variant: str
    engine: str
    decoding: Decoding
    precision: Precision
    taps: tuple[StoreTap, ...]

    def at(self, place: str) -> StoreIdentity:
        """Return the same identity with the bundle in another folder."""
        return replace(self, place=place)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of `extract --into` and the versions it used. Times are UTC in ISO 8601.

    `ended` is None if the run was killed.
    """

    id: int
    started: str
    ended: str | None
    edgefeat: str
    engine_version: str
    python: str
    numpy: str
    pillow: str
    system: str


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of the packages that compute features."""

    engine: str
    numpy: str
    pillow: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the database has for a path."""

    size: int | None
    mtime_ns: int | None
    status: str


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo's row, without its feature. `path` is absolute.

    `size` in bytes, `mtime_ns` and `sha256` (hex, of the content) are None if the file could not be read. `error` is
    the reason of a failure or, if the status is ok, a note that the photo is truncated. `run` is the run that computed
    the feature.
    """

    path: str
    size: int | None
    mtime_ns: int | None
    sha256: str | None
    status: Status
    error: str | None
    run: int
