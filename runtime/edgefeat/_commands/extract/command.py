"""`edgefeat extract`: the command, and extraction to a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgefeat._commands.cli.declaration import DeclaredCommand, Option
from edgefeat._commands.cli.options import CHOICE_OPTIONS, JSON, LIMIT_OPTIONS, echo_json, limits_of
from edgefeat._commands.cli.terminal import counted, documented, echo, printable
from edgefeat._commands.extract.database_options import DATABASE_OPTIONS, check_options_without_database
from edgefeat._errors import ArgumentError
from edgefeat._extractor import Extraction, Extractor, load
from edgefeat._images.limits import truncation
from edgefeat._images.picture import Decoding
from edgefeat._images.sources.paths import STANDARD_INPUT, paths_in_list, pictures_of
from edgefeat._store.feature_files import OUTPUT_SUFFIXES, FeatureTable, check_output, write_features

__all__ = ["command"]

_OUTPUT = "features.npz"


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
        from edgefeat._commands.extract.database import extract_to_database  # brings SQLite and click

        return extract_to_database(
            bundle,
            paths,
            lists,
            into,
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
    decoding: Decoding = "exact" if exact else "fast"
    extractor = load(
        bundle,
        variant=variant,
        engine=engine,
        threads=threads,
        decoding=decoding,
        max_pixels=limits.max_pixels,
        least_share=limits.least_share,
    )
    named = [*paths, *(path for file in lists for path in paths_in_list(file, by_nul=by_nul))]
    return _extract_to_file(extractor, named, output or _OUTPUT, as_json=as_json)


def _named(paths: tuple[str, ...], lists: tuple[str, ...], *, by_nul: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths and the lists; `-` among the paths is a list. Raises ArgumentError if nothing is given."""
    if STANDARD_INPUT in paths:
        paths, lists = tuple(path for path in paths if path != STANDARD_INPUT), (*lists, STANDARD_INPUT)
    if not paths and not lists:
        raise ArgumentError("no PATH given (allowed: an image, folder or archive, -, or --from-file LIST)")
    if by_nul and not lists:
        raise ArgumentError("-0 applies to lists only (- or --from-file LIST): leave it out")
    return paths, tuple(dict.fromkeys(lists))


def _extract_to_file(extractor: Extractor, paths: Sequence[str], output: str, *, as_json: bool) -> int:
    check_output(output, [tap.name for tap in extractor.taps])
    pictures, unlisted = _expanded(paths)
    read, unread, truncated = _extract(extractor, pictures)
    failed = unlisted + unread
    written = write_features(_table(extractor, read), output) if read else []
    if as_json:
        marks = {"truncated": [{"path": path, "share": share} for path, share in truncated]} if truncated else {}
        echo_json({"ok": len(read), "failed": [{"path": path, "reason": reason} for path, reason in failed], **marks})
    for path, reason in failed:
        echo(f"{printable(path)}: {reason}", err=True)
    for path, share in truncated:
        echo(f"{printable(path)}: {truncation(share)}", err=True)
    if not pictures and not failed:
        echo(f"edgefeat: no image in {', '.join(paths) or 'the list'}: nothing was written", err=True)
    elif not read:
        echo("edgefeat: no image could be read: nothing was written", err=True)
    elif not as_json:
        echo(
            f"{counted(len(read), 'feature')} by {extractor.variant} on {extractor.engine} ({extractor.reason}) "
            f"in {' and '.join(map(str, written))}" + (f"; {counted(len(failed), 'image')} failed" if failed else "")
        )
    return 0 if read and not failed else 1


def _expanded(paths: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the images under `paths`, and the path and reason for each that cannot be listed."""
    unlisted: list[tuple[str, str]] = []
    return list(pictures_of(paths, lambda path, reason: unlisted.append((path, reason)))), unlisted


def _extract(
    extractor: Extractor, pictures: list[str]
) -> tuple[list[tuple[str, list[NDArray[np.float32]]]], list[tuple[str, str]], list[tuple[str, float]]]:
    """Return the features of each image by tap, the failures with their reason, and the truncated images with their
    share.
    """
    read: list[tuple[str, list[NDArray[np.float32]]]] = []
    failed: list[tuple[str, str]] = []
    truncated: list[tuple[str, float]] = []
    for extraction in _progress(extractor.stream(pictures), len(pictures)):
        if extraction.share < 1:
            truncated.append((extraction.source, extraction.share))
        if extraction.feature is None:
            failed.append((extraction.source, str(extraction.error)))
        elif isinstance(extraction.feature, dict):
            read.append((extraction.source, list(extraction.feature.values())))
        else:
            read.append((extraction.source, [extraction.feature]))
    return read, failed, truncated


def _progress(extractions: Iterator[Extraction[str]], total: int) -> Iterable[Extraction[str]]:
    if total < 2 or not sys.stderr.isatty():
        return extractions
    from tqdm import tqdm  # imported only to show a bar: it takes 20 ms

    bar: Iterable[Extraction[str]] = tqdm(extractions, total=total, unit="photo")
    return bar


def _table(extractor: Extractor, read: list[tuple[str, list[NDArray[np.float32]]]]) -> FeatureTable:
    taps = [tap.name for tap in extractor.taps]
    return FeatureTable(
        paths=[path for path, _ in read],
        features={tap: np.stack([features[index] for _, features in read]) for index, tap in enumerate(taps)},
        bundle=f"{extractor.bundle.manifest.name} sha256:{extractor.bundle.identity}",
        variant=extractor.variant,
        engine=extractor.engine,
    )


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
