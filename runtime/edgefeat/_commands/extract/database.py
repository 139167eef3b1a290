"""`edgefeat extract --into`: extraction into a database."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgefeat._commands.cli.declaration import Option
from edgefeat._commands.cli.options import echo_json
from edgefeat._commands.cli.terminal import counted, echo
from edgefeat._errors import ArgumentError
from edgefeat._images.limits import LEAST_SHARE, MAX_PIXELS, Limits
from edgefeat._images.picture import Decoding

if TYPE_CHECKING:
    from edgefeat._bulk.options import BulkOptions, BulkResult

__all__ = ["BULK_OPTIONS", "check_bulk_only", "extract_to_store"]

_HOT = 80.0

#: The options that require `--into`, and `--into` itself.
BULK_OPTIONS = (
    Option(
        "into",
        ("--into",),
        "Add to this SQLite database what is new or changed, with a worker process a core.",
        "path",
        metavar="FILE.db",
    ),
    Option(
        "precision",
        ("--precision",),
        "How a new database stores features.  [default: float32]",
        "word",
        words=("float32", "float16", "int8"),
    ),
    Option("workers", ("--workers",), "Worker processes.  [default: one a core]", "whole", least=1),
    Option("retry_failed", ("--retry-failed",), "Try again what failed in an earlier run.", "flag"),
    Option("check", ("--check",), "Read every row first and compute again what is damaged.", "flag"),
    Option(
        "photo_seconds",
        ("--photo-seconds",),
        "A photo that takes longer fails.  [default: 60]",
        "number",
        metavar="S",
        least=0,
        above=True,
    ),
    Option(
        "worker_memory",
        ("--worker-memory",),
        "A photo for which a worker needs more fails.  [default: 1000]",
        "whole",
        metavar="MB",
        least=50,
    ),
    Option(
        "pause_when_hot",
        ("--pause-when-hot",),
        f"Rest while the device is hotter, or a Raspberry Pi slows itself.  [{_HOT:.0f} without a value]",
        "number",
        metavar="[CELSIUS]",
        least=20,
        most=120,
        flag_value=_HOT,
    ),
)


def check_bulk_only(**options: object) -> None:
    """Raise ArgumentError for an option that has no effect without `--into`."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise ArgumentError(f"--{name.replace('_', '-')} goes with --into alone: add --into features.db")


def extract_to_store(
    bundle: str,
    paths: tuple[str, ...],
    lists: tuple[str, ...],
    into: str,
    *,
    by_nul: bool,
    variant: str | None,
    engine: str | None,
    threads: int | None,
    decoding: Decoding | None,
    precision: str | None,
    workers: int | None,
    retry_failed: bool,
    check: bool,
    photo_seconds: float | None,
    worker_memory: int | None,
    pause_when_hot: float | None,
    limits: Limits,
    as_json: bool,
) -> int:
    """Run the bulk extraction and return the exit status."""
    from edgefeat._bulk.options import PHOTO_SECONDS, BulkOptions
    from edgefeat._bulk.run import extract_into
    from edgefeat._commands.extract.progress import progress_for

    for name, number in (("photo-seconds", photo_seconds), ("pause-when-hot", pause_when_hot)):
        if number is not None and math.isnan(number):
            raise ArgumentError(f"--{name} is nan (allowed: a number)")
    options = BulkOptions(
        bundle=bundle,
        paths=paths,
        into=Path(into),
        lists=lists,
        by_nul=by_nul,
        variant=variant,
        engine=engine,
        decoding=decoding,
        precision=precision,  # type: ignore[arg-type]  # one of the three, by its option
        workers=workers,
        threads=threads or 1,
        retry_failed=retry_failed,
        check=check,
        seconds=photo_seconds or PHOTO_SECONDS,
        memory=worker_memory * 1_000_000 if worker_memory else None,
        pause_at=pause_when_hot,
        limits=limits,
    )
    again = _again(options, as_json=as_json)
    try:
        result = extract_into(options, progress_for(as_json=as_json))
    except BrokenPipeError:
        # Other commands end silently here. This one reports that the work is not finished.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        echo(
            f"edgefeat: standard output was closed, and so the run has ended; what was done up to a second before is "
            f"in {into}. Go on with:\n{again}",
            err=True,
        )
        return 1
    return _report(result, options, again, as_json=as_json)


def _report(result: BulkResult, options: BulkOptions, again: str, *, as_json: bool) -> int:
    """Print the result of a run and how to resume it, and return the exit status."""
    into = options.into
    counts = {
        "computed": result.computed,
        "moved": result.moved,
        "failed": result.failed,
        "unchanged": result.unchanged,
        "failed_before": result.failed_before,
        "unlisted": result.unlisted,
    }
    if as_json:
        facts = {"interrupted": result.signal is not None, "seconds": round(result.seconds, 3), **counts}
        if result.truncated:
            facts["truncated"] = result.truncated
        echo_json({"event": "end", **facts, "variant": result.variant, "engine": result.engine, "again": again})
    if result.signal is not None:
        done = result.computed + result.moved + result.failed
        so_far = (
            f"; the {counted(done, 'photo')} done so far {'is' if done == 1 else 'are'} in {into}"
            if done
            else " before a photo was done"
        )
        echo(f"edgefeat: interrupted{so_far}. Go on with:\n{again}", err=True)
        return 128 + result.signal
    seen = sum(counts.values())
    if seen and not as_json:
        echo(_summary(result.variant, result.engine, result.reason, result.workers, result.seconds, into, counts))
        if result.truncated:
            echo(f"{counted(result.truncated, 'photo')} of them truncated: SELECT path, error FROM photos")
    if not seen:
        echo(f"edgefeat: no picture in {', '.join((*options.paths, *options.lists))}", err=True)
    return 0 if seen and not result.failed and not result.unlisted else 1


def _again(options: BulkOptions, *, as_json: bool) -> str:
    """Return the command line that resumes the run, with all its options: a database may not exist yet."""
    import shlex

    from edgefeat._bulk.options import PHOTO_SECONDS

    limits = options.limits
    given: dict[str, object] = {
        "null": options.by_nul,
        "variant": options.variant,
        "engine": options.engine,
        "threads": options.threads if options.threads > 1 else None,
        "exact": options.decoding == "exact",
        "precision": options.precision,
        "workers": options.workers,
        "retry-failed": options.retry_failed,
        "photo-seconds": options.seconds if options.seconds != PHOTO_SECONDS else None,
        "worker-memory": options.memory // 1_000_000 if options.memory else None,
        "max-pixels": limits.max_pixels if limits.max_pixels != MAX_PIXELS else None,
        "truncated": "accept" if limits.least_share < 1 else None,
        "least-share": limits.least_share if limits.least_share not in (LEAST_SHARE, 1.0) else None,
        "pause-when-hot": options.pause_at,
        "json": as_json,
    }
    more = [
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in given.items()
        if value is not None and value is not False
    ]
    more = [f"--from-file={file}" for file in options.lists] + more
    names, into = [options.bundle, *options.paths], ["--into", str(options.into)]
    if any(name.startswith("-") for name in names):
        return shlex.join(["edgefeat", "extract", *into, *more, "--", *names])
    return shlex.join(["edgefeat", "extract", *names, *into, *more])


def _summary(
    variant: str, engine: str, reason: str, workers: int, seconds: float, into: Path, counts: dict[str, int]
) -> str:
    parts = [f"{counted(counts['computed'], 'feature')} by {variant} on {engine} ({reason}) in {into}"]
    if counts["moved"]:
        parts.append(f"{counts['moved']} taken over from photos of the same content")
    if counts["unchanged"]:
        parts.append(f"{counts['unchanged']} were there")
    if counts["failed"]:
        parts.append(f"{counted(counts['failed'], 'photo')} failed")
    if counts["failed_before"]:
        parts.append(f"{counts['failed_before']} failed before (--retry-failed tries them again)")
    done = counts["computed"] + counts["moved"] + counts["failed"]
    if not done:
        return "; ".join(parts)
    return "; ".join(parts) + f". {done / max(seconds, 1e-9):.1f} photos/s with {counted(min(workers, done), 'worker')}"
