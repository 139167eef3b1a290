"""What a feature database says of itself and of each photo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edgefeat._images.picture import Decoding
from edgefeat._store.precision import Precision

__all__ = ["Photo", "Run", "Status", "StoreIdentity", "StoreTap"]

Status = Literal["ok", "failed"]


@dataclass(frozen=True, slots=True)
class StoreTap:
    """A tap as the database holds it; `shape` is that of one photo's feature."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """What made every feature in the database: rows of anything else never come in.

    `bundle` is the bundle's name, `place` the folder where it last was, `manifest_sha256` what it is.
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
        """The same, with the bundle in another folder."""
        return replace(self, place=place)


@dataclass(frozen=True, slots=True)
class Run:
    """One call of `extract --into`, and the versions that computed its features. Times are UTC, ISO 8601.

    `ended` is None for a run that was killed.
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
class Photo:
    """One photo's row, without its feature. `path` is absolute.

    `size` in bytes, `mtime_ns` and `sha256` (hex, of the content) are None where the file could not be read; `error` is
    the reason why a photo failed or, of one that is ok, how much of it is there; `run` is the run that computed the
    feature.
    """

    path: str
    size: int | None
    mtime_ns: int | None
    sha256: str | None
    status: Status
    error: str | None
    run: int
