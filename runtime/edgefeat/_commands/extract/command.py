"""`edgefeat extract`: the command. It imports what it needs for a file or for a database only then."""

from __future__ import annotations

from edgefeat._commands.cli.declaration import DeclaredCommand, Option
from edgefeat._commands.cli.options import CHOICE_OPTIONS, JSON, LIMIT_OPTIONS, limits_of
from edgefeat._commands.cli.terminal import documented
from edgefeat._commands.extract.database_options import DATABASE_OPTIONS, check_options_without_database
from edgefeat._engines.device.cores import available_cores
from edgefeat._errors import ArgumentError
from edgefeat._images.sources.paths import STANDARD_INPUT
from edgefeat._store.output import OUTPUT_SUFFIXES

__all__ = ["command"]

_OUTPUT = "features.npz"
# More would take too much of the processor if it turns out that few photos are new.
_EARLY = 2


def extract(
    bundle: str,
    paths: tuple[str, ...],
    lists: tuple[str, ...],
    by_nul: bool,
    output: str | None,
    variant: str | None,
    engine: str | None,
    threads: int | None,
    exact: bool,
    max_pixels: int | None,
    truncated: str,
    least_share: float | None,
    into: str | None,
    precision: str | None,
    workers: int | None,
    retry_failed: bool,
    check: bool,
    photo_seconds: float | None,
    worker_memory: int | None,
    pause_when_hot: float | None,
    as_json: bool,
) -> int:
    """Write the features of each PATH to a file: an image, or a folder or .zip or .tar archive of images.

    \b
    Example: edgefeat extract mobilenet_v2.edgefeat photos/ -o features.npz

    The PATH - reads a list of paths from standard input.

    Images that cannot be read are skipped and reported with a reason; the exit status is then 1.

    For large collections use --into: the features go into a database, and each run adds new and changed photos only.
    After an interruption, a crash or a full disk, the same command resumes. Photos that fail are recorded with the
    reason.
    """
    limits = limits_of(max_pixels, truncated, least_share)
    if variant is not None and "@" in variant:
        from edgefeat._engines.selection import photos_refused

        raise photos_refused(variant)
    paths, lists = _named(paths, lists, by_nul=by_nul)
    if into is not None:
        if output is not None:
            raise ArgumentError(
                "-o and --into cannot be combined: convert a database to other files with `edgefeat convert`"
            )
        from edgefeat._bulk.worker_process import EarlyWorkers

        with EarlyWorkers(min(_EARLY, workers or available_cores())) as early:
            from edgefeat._commands.extract.database import extract_to_database  # takes as long as a worker's start

            return extract_to_database(
                bundle,
                paths,
                lists,
                into,
                early,
                by_nul=by_nul,
                variant=variant,
                engine=engine,
                threads=threads,
                decoding="exact" if exact else None,
                precision=precision,
                workers=workers,
                retry_failed=retry_failed,
                check=check,
                photo_seconds=photo_seconds,
                worker_memory=worker_memory,
                pause_when_hot=pause_when_hot,
                limits=limits,
                as_json=as_json,
            )
    check_options_without_database(
        precision=precision,
        workers=workers,
        retry_failed=retry_failed,
        check=check,
        photo_seconds=photo_seconds,
        worker_memory=worker_memory,
        pause_when_hot=pause_when_hot,
    )
    from edgefeat._commands.extract.file import extract_to_file

    return extract_to_file(
        bundle,
        paths,
        lists,
        output or _OUTPUT,
        by_nul=by_nul,
        variant=variant,
        engine=engine,
        threads=threads,
        decoding="exact" if exact else "fast",
        limits=limits,
        as_json=as_json,
    )


def _named(paths: tuple[str, ...], lists: tuple[str, ...], *, by_nul: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths and the lists; `-` among the paths is a list. Raises ArgumentError if nothing is given."""
    if STANDARD_INPUT in paths:
        paths, lists = tuple(path for path in paths if path != STANDARD_INPUT), (*lists, STANDARD_INPUT)
    if not paths and not lists:
        raise ArgumentError("no PATH given (allowed: an image, folder or archive, -, or --from-file LIST)")
    if by_nul and not lists:
        raise ArgumentError("-0 applies to lists only (- or --from-file LIST): leave it out")
    return paths, tuple(dict.fromkeys(lists))


command = DeclaredCommand(
    "extract",
    "Write the features of images to a file or a database.",
    documented("large-collections"),
    extract,
    (
        Option(
            "lists",
            ("--from-file",),
            "Read more PATHs from this file, one per line; - is standard input.",
            "path",
            metavar="LIST",
            multiple=True,
        ),
        Option("by_nul", ("-0", "--null"), "Paths in lists end with NUL, as from find -print0.", "flag"),
        Option(
            "output",
            ("-o", "--output"),
            f"Output file: {' '.join(OUTPUT_SUFFIXES)}.  [default: {_OUTPUT}, without --into]",
            "path",
        ),
        *CHOICE_OPTIONS,
        Option(
            "threads",
            ("--threads",),
            "Threads for one image.  [default: one per core, at most 4; with --into 1 in each worker]",
            "whole",
            least=1,
        ),
        Option("exact", ("--exact",), "Decode every pixel, as Keras does, instead of scaling while decoding.", "flag"),
        *LIMIT_OPTIONS,
        *DATABASE_OPTIONS,
        JSON,
    ),
)
