"""`edgefeat extract --into`: its options."""

from __future__ import annotations

from edgefeat._commands.cli.declaration import Option
from edgefeat._errors import ArgumentError
from edgefeat._store.precision import PRECISIONS

__all__ = ["DATABASE_OPTIONS", "check_options_without_database"]

_HOT = 80.0

#: The options that require `--into`, and `--into` itself.
DATABASE_OPTIONS = (
    Option(
        "into",
        ("--into",),
        "Add new and changed photos to this SQLite database.",
        "path",
        metavar="FILE.db",
    ),
    Option(
        "precision",
        ("--precision",),
        "How a new database stores features.  [default: float32]",
        "word",
        words=PRECISIONS,
    ),
    Option("workers", ("--workers",), "Number of worker processes.  [default: one per core]", "whole", least=1),
    Option("retry_failed", ("--retry-failed",), "Try photos again that failed in an earlier run.", "flag"),
    Option("check", ("--check",), "Check every row first and recompute damaged ones.", "flag"),
    Option(
        "photo_seconds",
        ("--photo-seconds",),
        "Time limit for one photo, in seconds.  [default: 60]",
        "number",
        metavar="S",
        least=0,
        above=True,
    ),
    Option(
        "worker_memory",
        ("--worker-memory",),
        "Memory limit for each worker.  [default: 1000]",
        "whole",
        metavar="MB",
        least=50,
    ),
    Option(
        "pause_when_hot",
        ("--pause-when-hot",),
        f"Pause while the device is hotter or throttled.  [{_HOT:.0f} without a value]",
        "number",
        metavar="[CELSIUS]",
        least=20,
        most=120,
        flag_value=_HOT,
    ),
)


def check_options_without_database(**options: object) -> None:
    """Raise ArgumentError for an option that has no effect without `--into`."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise ArgumentError(f"--{name.replace('_', '-')} requires --into: add --into features.db")
