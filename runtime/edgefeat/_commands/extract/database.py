"""`edgefeat extract --into`: extraction into a database."""

from __future__ import annotations

import math
from pathlib import Path

from edgefeat._bulk.options import PHOTO_SECONDS, BulkOptions
from edgefeat._bulk.run import extract_into
from edgefeat._bulk.worker_process import EarlyWorkers
from edgefeat._commands.cli.terminal import discard_output, echo
from edgefeat._commands.extract.database_report import report, resuming_command
from edgefeat._commands.extract.progress import progress_for
from edgefeat._errors import ArgumentError
from edgefeat._images.form import Decoding
from edgefeat._images.limits import Limits

__all__ = ["extract_to_database"]


def extract_to_database(
    bundle: str,
    paths: tuple[str, ...],
    lists: tuple[str, ...],
    into: str,
    early: EarlyWorkers,
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
    """Run the bulk extraction and return the exit status; `early` become its first workers."""
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
    again = resuming_command(options, as_json=as_json)
    try:
        result = extract_into(options, progress_for(as_json=as_json), early)
    except BrokenPipeError:
        # Other commands end silently here. This one reports that the work is not finished.
        discard_output()
        echo(
            f"edgefeat: standard output was closed, which ended the run; all but the last second of work is in "
            f"{into}. Resume with:\n{again}",
            err=True,
        )
        return 1
    return report(result, options, again, as_json=as_json)
