"""What a bulk run is asked for, and what came of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgefeat._limits import DEFAULT_LIMITS, MAX_PIXELS, Limits
from edgefeat._picture import Decoding
from edgefeat._selection import available_cores
from edgefeat._store import Precision

__all__ = ["PHOTO_SECONDS", "WORKER_MEMORY", "BulkOptions", "BulkResult", "default_memory", "default_workers"]

#: What one photo may take, in seconds, and one worker, in bytes: a picture of the most pixels allowed fits.
PHOTO_SECONDS, WORKER_MEMORY = 60.0, 1_000_000_000

# What a worker takes with a small network, and half of a machine's memory is the run's to take.
_WORKER_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """What to extract, with what, into what. What is None is the database's, or chosen for a new one.

    `seconds` and `memory` (bytes) are what one photo, and one worker, may take. `pause_at` is in degrees Celsius.
    """

    bundle: str
    paths: tuple[str, ...]
    into: Path
    variant: str | None = None
    engine: str | None = None
    decoding: Decoding | None = None
    precision: Precision | None = None
    workers: int | None = None
    threads: int = 1
    retry_failed: bool = False
    check: bool = False
    seconds: float = PHOTO_SECONDS
    memory: int = WORKER_MEMORY
    pause_at: float | None = None
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What a run did. Counts are of photos; `computed` and `moved` have features now, `moved` without computing.
    Of the computed, `truncated` were of photos cut short.

    `signal` is the number of the signal that ended it early, or None.
    """

    variant: str
    engine: str
    reason: str
    workers: int
    computed: int
    moved: int
    failed: int
    unchanged: int
    failed_before: int
    unlisted: int
    seconds: float
    signal: int | None
    truncated: int


def default_memory(limits: Limits) -> int:
    """What a worker may take: more where larger pictures are asked for, so that they do not fail for that."""
    return max(WORKER_MEMORY, limits.max_pixels * WORKER_MEMORY // MAX_PIXELS)


def default_workers() -> int:
    """One worker a core, as far as half of the memory reaches."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has none
        return available_cores()
    return max(1, min(available_cores(), memory // 2 // _WORKER_BYTES))
