"""`edgefeat search`: finds similar photos in a feature database."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass

import click
import numpy as np

from edgefeat._commands.cli.options import echo_json, echo_table, json_option, limit_options, limits_of
from edgefeat._commands.cli.terminal import counted, documented, printable
from edgefeat._commands.neighbours.sheets.sheet import Sheet, SheetRow, Tile
from edgefeat._commands.neighbours.sheets.sheet_file import check_sheet, write_sheet
from edgefeat._errors import ArgumentError
from edgefeat._extractor import Extractor
from edgefeat._search.query_extractor import extractor_for
from edgefeat._search.ranking import Neighbour
from edgefeat._search.search import INDEXED_FROM, indexed, search
from edgefeat._store.reader import FeatureStore
from edgefeat._store.records import StoreIdentity

__all__ = ["command"]


@click.command("search", short_help="Find similar photos in a database.", epilog=documented("using-features"))
@click.argument("database", type=click.Path())
@click.argument("queries", nargs=-1, required=True, type=click.Path(), metavar="QUERY...")
@click.option(
    "-k", "count", default=10, show_default=True, type=click.IntRange(1, 1000), help="Number of results for each query."
)
@click.option("--tap", metavar="NAME", help="Tap to compare, if the database has several.")
@click.option("--bundle", type=click.Path(), help="Folder of the bundle.  [default: the one that made the database]")
@click.option(
    "--index/--exact",
    "index",
    default=None,
    help=f"Search with an approximate index, or exactly.  [default: index from {INDEXED_FROM:,} photos]",
)
@click.option("--sheet", type=click.Path(), metavar="FILE", help="Also write a contact sheet: .html or .png.")
@limit_options
@json_option
def command(
    database: str,
    queries: tuple[str, ...],
    count: int,
    tap: str | None,
    bundle: str | None,
    index: bool | None,
    sheet: str | None,
    max_pixels: int | None,
    truncated: str,
    least_share: float | None,
    as_json: bool,
) -> int:
    """Find the photos in DATABASE most similar to each QUERY photo, by the cosine of their features.

    \b
    Example: edgefeat search features.db query.jpg -k 20

    Queries are extracted with the bundle, variant and engine that made the database. A query that is itself in the
    database is not listed among its own results.
    """
    limits = limits_of(max_pixels, truncated, least_share)
    if sheet is not None:
        check_sheet(sheet, queries)
    with FeatureStore.open(database) as store:
        if sheet is not None:
            check_sheet(sheet, store.paths())
        _check_tap(store, database, tap)
        extractor = extractor_for(store, bundle=bundle, max_pixels=limits.max_pixels, least_share=limits.least_share)
        progress = sys.stderr.isatty() and not as_json
        answers, failed = _answers(store, extractor, queries, count, tap, index, progress)
        identity, photos = store.identity, len(store)
        by_index = indexed(store, index)
    if as_json:
        echo_json(
            {
                "database": {**_about(identity), "photos": photos},
                "index": by_index,
                "queries": [{"path": one.query, "neighbours": [asdict(n) for n in one.neighbours]} for one in answers],
                "failed": [{"path": path, "reason": reason} for path, reason in failed],
            }
        )
    elif answers:
        _echo(answers, identity, photos, by_index, several=len(queries) > 1)
    for path, reason in failed:
        click.echo(f"{printable(path)}: {reason}", err=True)
    if sheet is not None and answers:
        write_sheet(_sheet(answers, identity, photos), sheet)
        click.echo(f"contact sheet: {sheet}", err=as_json)
    if not photos:
        click.echo(f"edgefeat: {database} contains no features", err=True)
    return 0 if photos and not failed else 1


def _check_tap(store: FeatureStore, database: str, tap: str | None) -> None:
    taps = [one.name for one in store.taps]
    if tap is None and len(taps) > 1:
        raise ArgumentError(f"{database} has several taps ({', '.join(taps)}): choose one with --tap")
    if tap is not None and tap not in taps:
        raise ArgumentError(f"tap {tap!r} is not in {database} (it has: {', '.join(taps)})")


@dataclass(frozen=True, slots=True)
class _Answer:
    query: str
    neighbours: list[Neighbour]


def _answers(
    store: FeatureStore,
    extractor: Extractor,
    queries: tuple[str, ...],
    count: int,
    tap: str | None,
    index: bool | None,
    progress: bool,
) -> tuple[list[_Answer], list[tuple[str, str]]]:
    """Return the neighbours of each query, and the path and reason for each that could not be read."""
    read: list[tuple[str, np.typing.NDArray[np.float32]]] = []
    failed: list[tuple[str, str]] = []
    for extraction in extractor.stream(queries):
        feature = extraction.feature
        if feature is None:
            failed.append((extraction.source, str(extraction.error)))
        else:
            one = feature[tap or store.taps[0].name] if isinstance(feature, dict) else feature
            read.append((extraction.source, one.ravel()))
    if not read:
        return [], failed
    # One more than requested: the query's own row may be among them.
    found = search(
        store, np.stack([feature for _, feature in read]), count + 1, tap=tap, index=index, progress=progress
    )
    answers = []
    for (path, _), neighbours in zip(read, found, strict=True):
        own = _own(path, neighbours)
        answers.append(_Answer(path, [one for one in neighbours if one is not own][:count]))
    return answers, failed


def _own(query: str, neighbours: list[Neighbour]) -> Neighbour | None:
    """Return the query's own row, found by path or else by resolving links."""
    for path_of in (os.path.abspath, os.path.realpath):
        for one in neighbours:
            if path_of(one.path) == path_of(query):
                return one
    return None


def _about(identity: StoreIdentity) -> dict[str, str]:
    names = ("bundle", "manifest_sha256", "variant", "engine", "decoding", "precision")
    return {name: getattr(identity, name) for name in names}


def _sentence(identity: StoreIdentity, photos: int) -> str:
    stored = "" if identity.precision == "float32" else f", stored as {identity.precision}"
    return f"{counted(photos, 'photo')} by {identity.bundle}, {identity.variant} on {identity.engine}{stored}"


def _echo(answers: list[_Answer], identity: StoreIdentity, photos: int, by_index: bool, *, several: bool) -> None:
    rows = [
        ([answer.query if place == 1 else ""] if several else []) + [str(place), f"{one.cosine:.4f}", one.path]
        for answer in answers
        for place, one in enumerate(answer.neighbours, 1)
    ]
    echo_table((["query"] if several else []) + ["", "cosine", "photo"], rows)
    click.echo(_sentence(identity, photos) + (", searched with an index" if by_index else ""))


def _sheet(answers: list[_Answer], identity: StoreIdentity, photos: int) -> Sheet:
    rows = [
        SheetRow(
            answer.query,
            Tile(answer.query, "query"),
            [Tile(one.path, f"{one.cosine:.3f}") for one in answer.neighbours],
        )
        for answer in answers
    ]
    title = "The nearest photos" if len(answers) == 1 else f"The nearest photos of {len(answers)} queries"
    return Sheet(title, f"Among {_sentence(identity, photos)}. Below each photo is its cosine to the query.", rows)
