"""`edgefeat watch`: features of the photos that arrive in folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgefeat._commands.cli.click_options import add_option
from edgefeat._commands.cli.options import LIMIT_OPTIONS, choice_options, json_option, limits_of
from edgefeat._commands.cli.terminal import discard_output, documented, echo
from edgefeat._commands.extract.database_options import DATABASE_OPTIONS
from edgefeat._commands.services.watch.settings import WatchSettings

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])

_SHARED = ("into", "precision", "workers", "photo_seconds", "worker_memory")


def _shared_options(function: F) -> F:
    """Add the options that `edgefeat extract` has too."""
    shared = [option for option in DATABASE_OPTIONS if option.parameter in _SHARED]
    for option in reversed([*shared, *LIMIT_OPTIONS]):
        function = add_option(function, option)
    return function


@click.command("watch", short_help="Extract features of photos as they arrive in folders.", epilog=documented("watch"))
@click.argument("bundle", type=click.Path())
@click.argument("folders", nargs=-1, required=True, type=click.Path(), metavar="FOLDER...")
@click.option("-o", "--output", type=click.Path(), metavar="FILE.jsonl", help="Append to this file instead.")
@choice_options
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of each worker.")
@click.option("--exact", is_flag=True, help="Decode photos exactly as Keras does. This is slower.")
@_shared_options
@click.option(
    "--settle",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.05, 3600),
    metavar="S",
    help="Process a photo when it has not changed for this many seconds.",
)
@click.option("--poll", is_flag=True, help="Search the folders at intervals, without file system events.")
@click.option(
    "--interval",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.1, 86400),
    metavar="S",
    help="Seconds between two searches with --poll.",
)
@json_option
def command(
    bundle: str,
    folders: tuple[str, ...],
    output: str | None,
    into: str | None,
    variant: str | None,
    engine: str | None,
    threads: int,
    exact: bool,
    precision: str | None,
    workers: int | None,
    photo_seconds: float | None,
    worker_memory: int | None,
    max_pixels: int | None,
    truncated: str,
    least_share: float | None,
    settle: float,
    poll: bool,
    interval: float,
    as_json: bool,
) -> int:
    """Extract the features of the photos in each FOLDER and of all that arrive there, until Ctrl-C.

    \b
    Example: edgefeat watch mobilenet_v2.edgefeat incoming/ --into features.db

    Each photo is processed once, when it is complete. In the database, renamed photos keep their feature and removed
    photos are removed. Photos that cannot be read are reported with a reason. After a restart the same command
    continues where it left off.

    The database can be searched while this runs.
    """
    settings = WatchSettings(
        bundle=bundle,
        folders=folders,
        into=None if into is None else Path(into),
        lines=None if output is None else Path(output),
        variant=variant,
        engine=engine,
        threads=threads,
        decoding="exact" if exact else None,
        precision=precision,  # type: ignore[arg-type]  # one of the three, by its option
        workers=workers,
        seconds=photo_seconds or 60.0,
        memory=worker_memory * 1_000_000 if worker_memory else None,
        settle=settle,
        interval=interval,
        poll=poll,
        limits=limits_of(max_pixels, truncated, least_share),
    )
    from edgefeat._commands.services.watch.report import Report
    from edgefeat._commands.services.watch.watch import watch

    try:
        return watch(settings, Report(as_json=as_json))
    except BrokenPipeError:  # who read the events is gone: other commands end well then, but this one was to go on
        discard_output()
        echo("edgefeat: standard output was closed, which ended the watch", err=True)
        return 1
