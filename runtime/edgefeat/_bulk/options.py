"""The options of a bulk run and its result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefeat._engines.device.cores import available_cores, memory
from edgefeat._images.form import Decoding
from edgefeat._images.limits import DEFAULT_LIMITS, MAX_PIXELS, Limits
from edgefeat._images.sources.paths import paths_in_list
from edgefeat._store.precision import Precision

__all__ = ["PHOTO_SECONDS", "WORKER_MEMORY", "BulkOptions", "BulkResult", "default_memory", "default_workers"]

#: Limits for one photo in seconds and one worker in bytes. An image of the largest allowed size fits.
PHOTO_SECONDS, WORKER_MEMORY = 60.0, 1_000_000_000

# The memory of a worker with a small network. A run may use half of the machine's memory.
_WORKER_BYTES = 100_000_000
# The memory of the run itself, without its workers.
_RUN_BYTES = 60_000_000


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """What to extract, how, and into which database. None means the database's value, or a default for a new database.

    `lists` are files with one path a line, or separated by NUL with `by_nul`; `-` is standard input. `seconds` is the
    limit for one photo and `memory` the limit for one worker in bytes (None: chosen). `pause_at` is in degrees Celsius.
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
        """Yield every path given, including those in lists."""
        yield from self.paths
        for file in self.lists:
            yield from paths_in_list(file, by_nul=self.by_nul)


@dataclass(frozen=True, slots=True)
class BulkResult:
    """The result of a run. Counts are photos: `computed` and `moved` now have features, `moved` without being computed
    again. `truncated` counts the computed photos whose file is truncated.

    `signal` is the number of the signal that ended the run early, or None.
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
    """Return the memory limit for each of `workers` workers: higher for larger images, within the cgroup's limit.

    A worker that reaches its own limit gives up one photo. When the cgroup's limit is reached, the kernel kills a
    process.
    """
    wanted = max(WORKER_MEMORY, limits.max_pixels * WORKER_MEMORY // MAX_PIXELS)
    whole = memory()
    if whole is None or not whole.is_limited:
        return wanted
    return min(wanted, max(_WORKER_BYTES, (whole.size - _RUN_BYTES) // workers))


def default_workers() -> int:
    """Return one worker for each core, as far as half of the memory allows."""
    whole = memory()
    if whole is None:
        return available_cores()
    return max(1, min(available_cores(), whole.size // 2 // _WORKER_BYTES))
