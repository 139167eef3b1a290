"""`edgefeat extract` without --into: extraction to a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgefeat._commands.cli.options import echo_json
from edgefeat._commands.cli.terminal import counted, echo, printable
from edgefeat._extractor import Extraction, Extractor, load
from edgefeat._images.form import Decoding
from edgefeat._images.limits import Limits, truncation
from edgefeat._images.sources.paths import paths_in_list, pictures_of
from edgefeat._store.feature_files import FeatureTable, write_features
from edgefeat._store.output import check_output

__all__ = ["extract_to_file"]


def extract_to_file(
    bundle: str,
    paths: tuple[str, ...],
    lists: tuple[str, ...],
    output: str,
    *,
    by_nul: bool,
    variant: str | None,
    engine: str | None,
    threads: int | None,
    decoding: Decoding,
    limits: Limits,
    as_json: bool,
) -> int:
    """Write the features of the images, and return the exit status."""
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
    return _extract_to_file(extractor, named, output, as_json=as_json)


def _extract_to_file(extractor: Extractor, paths: Sequence[str], output: str, *, as_json: bool) -> int:
    check_output(output, [tap.name for tap in extractor.taps])
    pictures, unlisted = _expanded(paths)
    read, unread, truncated = _extract(extractor, pictures)
    failed = unlisted + unread
    written = write_features(_table(extractor, read), output) if read else []
    if as_json:
        marks = {"truncated": [{"path": path, "share": share} for path, share in truncated]} if truncated else {}
        echo_json(
            {
                "ok": len(read),
                "failed": [{"path": path, "reason": reason} for path, reason in failed],
                **marks,
                "files": [*map(str, written)],
                "variant": extractor.variant,
                "engine": extractor.engine,
            }
        )
    for path, reason in failed:
        echo(f"{printable(path)}: {reason}", err=True)
    for path, share in truncated:
        echo(f"{printable(path)}: {truncation(share)}", err=True)
    if not pictures and not failed:
        echo(f"edgefeat: no image in {printable(', '.join(paths)) or 'the list'}: nothing was written", err=True)
    elif not read:
        echo("edgefeat: no image could be read: nothing was written", err=True)
    elif not as_json:
        echo(
            f"{counted(len(read), 'feature')} by {extractor.variant} on {extractor.engine} ({extractor.reason}) "
            f"in {printable(' and '.join(map(str, written)))}"
            + (f"; {counted(len(failed), 'image')} failed" if failed else "")
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
