"""What a benchmark run measured: raw samples in a JSON file; every statistic is derived from them.

Format 1 (first): machine, bundle, photos, and for each contender its samples in seconds, one a round and photo.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefeat import ArgumentError
from edgefeat._records import RecordError, from_json, to_json

__all__ = ["FORMAT", "ColdStart", "Contender", "Machine", "Result", "Run"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run was made. Runs of unlike machines are never merged."""

    processor: str
    architecture: str
    cores: int
    memory_bytes: int
    system: str
    python: str


@dataclass(frozen=True, slots=True)
class Contender:
    """One thing that is timed: what does it, and with which bundle's model where it is edgefeat's."""

    name: str
    kind: Literal["keras-predict", "edgefeat"]
    variant: str | None = None
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A contender's samples: `seconds[i]` from file to feature, in round i // photos, of photo i % photos.

    `wrong` contenders are timed and shown as wrong: their features are below `Run.right_cosine`. `absent` ones could
    not be started, for the `reason`.
    """

    contender: Contender
    status: Literal["ok", "wrong", "absent"]
    reason: str
    versions: dict[str, str]
    minimum_cosine: float | None
    start_seconds: float | None
    peak_memory_bytes: int | None
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ColdStart:
    """From nothing to one photo's feature in a fresh process: seconds each time, the most memory, the size on disk."""

    name: str
    seconds: tuple[float, ...]
    peak_memory_bytes: int
    installed_bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run: every contender called in turn, photo by photo. Features are held against the first contender's."""

    format: int
    edgefeat: str
    machine: Machine
    bundle: str
    photos: tuple[str, ...]
    rounds: int
    right_cosine: float
    results: tuple[Result, ...]
    cold_starts: tuple[ColdStart, ...]

    def write(self, path: Path) -> None:
        """Writes the run as JSON."""
        path.write_text(json.dumps(to_json(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Run:
        """The run at `path`. Raises ArgumentError for a file of another kind or format."""
        try:
            value = json.loads(path.read_text())
            if isinstance(value, dict) and value.get("format") not in (None, FORMAT):
                raise ArgumentError(f"{path} has format {value['format']!r}, this edgefeat-bench reads {FORMAT}")
            return from_json(cls, value)
        except (OSError, ValueError, RecordError) as error:
            raise ArgumentError(f"{path} is not a result of edgefeat-bench: {error}") from None
