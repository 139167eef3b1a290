"""What a bulk run is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefeat._engines.device.cores import available_cores, memory
from edgefeat._images.limits import DEFAULT_LIMITS, MAX_PIXELS, Limits
from edgefeat._images.picture import Decoding
from edgefeat._images.sources.paths import listed
from edgefeat._store.precision import Precision

__all__ = ["PHOTO_SECONDS", "WORKER_MEMORY", "BulkOptions", "BulkResult", "default_memory", "default_workers"]

#: What one photo may take, in seconds, and one worker, in bytes: a picture of the most pixels allowed fits.
PHOTO_SECONDS, WORKER_MEMORY = 60.0, 1_000_000_000

# What a worker takes with a small network, and half of a machine's memory is the run's to take.
_WORKER_BYTES = 100_000_000
# What the run itself takes beside its workers.
_RUN_BYTES = 60_000_000


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """What to extract, with what, into what. What is None is the database's, or chosen for a new one.

    `lists` are files with a path a line, or `by_nul` up to each NUL; `-` is standard input. `seconds` and `memory`
    (bytes, None to choose) are what one photo, and one worker, may take. `pause_at` is in degrees Celsius.
    """

    bundle: str
    paths: tuple[str, ...]
    into: Path
    lists: tuple[str, ...] = ()
    by_nul: bool = False
    variant: str | None = None
    engine: str | None = None
    decoding: Decoding | None = None
    precision: Precision | None = None
    workers: int | None = None
    threads: int = 1
    retry_failed: bool = False
    check: bool = False
    seconds: float = PHOTO_SECONDS
    memory: int | None = None
    pause_at: float | None = None
    limits: Limits = DEFAULT_LIMITS

    def named(self) -> Iterator[str]:
        """Every path that was named, also in lists."""
        yield from self.paths
        for file in self.lists:
            yield from listed(file, by_nul=self.by_nul)


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


def default_memory(limits: Limits, workers: int) -> int:
    """What each of so many workers may take: more where larger pictures are asked for, no more than a cgroup allows.

    A worker that comes to the end of what it may take gives up one photo. At the end of the cgroup's memory the kernel
    ends some process.
    """
    wanted = max(WORKER_MEMORY, limits.max_pixels * WORKER_MEMORY // MAX_PIXELS)
    whole = memory()
    if whole is None or not whole.is_limited:
        return wanted
    return min(wanted, max(_WORKER_BYTES, (whole.size - _RUN_BYTES) // workers))


def default_workers() -> int:
    """One worker a core, as far as half of the memory reaches."""
    whole = memory()
    if whole is None:
        return available_cores()
    return max(1, min(available_cores(), whole.size // 2 // _WORKER_BYTES))
