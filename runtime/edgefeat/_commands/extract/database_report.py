"""`edgefeat extract --into`: the report of a run, and the command that resumes it."""

from __future__ import annotations

import shlex
from pathlib import Path

from edgefeat._bulk.options import PHOTO_SECONDS, BulkOptions, BulkResult
from edgefeat._commands.cli.options import echo_json
from edgefeat._commands.cli.terminal import counted, echo, printable
from edgefeat._images.limits import LEAST_SHARE, MAX_PIXELS

__all__ = ["report", "resuming_command"]


def report(result: BulkResult, options: BulkOptions, again: str, *, as_json: bool) -> int:
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
            else " before any photo was done"
        )
        echo(f"edgefeat: interrupted{so_far}. Resume with:\n{again}", err=True)
        return 128 + result.signal
    seen = sum(counts.values())
    if seen and not as_json:
        summary = _summary(result.variant, result.engine, result.reason, result.workers, result.seconds, into, counts)
        echo(printable(summary))
        if result.truncated:
            echo(f"{counted(result.truncated, 'photo')} of these truncated: SELECT path, error FROM photos lists them")
    if not seen:
        echo(f"edgefeat: no image in {printable(', '.join((*options.paths, *options.lists)))}", err=True)
    return 0 if seen and not result.failed and not result.unlisted else 1


def resuming_command(options: BulkOptions, *, as_json: bool) -> str:
    """Return the command line that resumes the run, with all its options: a database may not exist yet."""
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
        parts.append(f"{counts['moved']} copied from identical photos")
    if counts["unchanged"]:
        parts.append(f"{counts['unchanged']} unchanged")
    if counts["failed"]:
        parts.append(f"{counted(counts['failed'], 'photo')} failed")
    if counts["failed_before"]:
        parts.append(f"{counts['failed_before']} failed earlier (retry with --retry-failed)")
    done = counts["computed"] + counts["moved"] + counts["failed"]
    if not done:
        return "; ".join(parts)
    return "; ".join(parts) + f". {done / max(seconds, 1e-9):.1f} photos/s with {counted(min(workers, done), 'worker')}"
