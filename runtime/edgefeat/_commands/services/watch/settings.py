"""The settings of a watch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edgefeat._errors import ArgumentError
from edgefeat._images.form import Decoding
from edgefeat._images.limits import DEFAULT_LIMITS, Limits
from edgefeat._store.precision import Precision

__all__ = ["WatchSettings"]


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Which folders to watch and where the features go: a database (`into`) or a `.jsonl` file (`lines`).

    Times are in seconds: a photo is taken when it has not changed for `settle`; without notices of the system, folders
    are searched every `interval`. `workers`, `seconds` and `memory` are those of `BulkOptions`.
    """

    bundle: str
    folders: tuple[str, ...]
    into: Path | None = None
    lines: Path | None = None
    variant: str | None = None
    engine: str | None = None
    threads: int = 1
    decoding: Decoding | None = None
    precision: Precision | None = None
    workers: int | None = None
    seconds: float = 60.0
    memory: int | None = None
    settle: float = 1.0
    interval: float = 2.0
    poll: bool = False
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.into is not None and self.lines is not None:
            raise ArgumentError(
                "-o and --into cannot be combined: convert a database to other files with `edgefeat convert`"
            )
        if self.into is None and self.lines is None:
            raise ArgumentError("say where the features go: --into FILE.db, or -o FILE.jsonl")
        if self.lines is not None and self.lines.suffix.lower() != ".jsonl":
            raise ArgumentError(
                f"output {str(self.lines)!r} has an unknown file extension (allowed: .jsonl; or --into FILE.db)"
            )
        if self.lines is not None and self.precision is not None:
            raise ArgumentError("--precision requires --into: a .jsonl file has all digits")
        if not self.folders:
            raise ArgumentError("no FOLDER given")
        for name, number in (("photo-seconds", self.seconds), ("settle", self.settle), ("interval", self.interval)):
            if math.isnan(number):
                raise ArgumentError(f"--{name} is nan (allowed: a number)")
