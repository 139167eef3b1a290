"""`edgefeat duplicates`: finds near-duplicate photos in a feature database."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import counted, documented
from edgefeat._commands.neighbours.sheets.sheet import Sheet, SheetRow, Tile
from edgefeat._commands.neighbours.sheets.sheet_file import check_sheet, write_sheet
from edgefeat._errors import ArgumentError
from edgefeat._search.duplicates import DEFAULT_THRESHOLD, Duplicate, duplicates
from edgefeat._store.reader import FeatureStore

__all__ = ["command"]


@click.command(
    "duplicates", short_help="Group the near-duplicate photos in a database.", epilog=documented("using-features")
)
@click.argument("database", type=click.Path())
@click.option(
    "--threshold",
    default=DEFAULT_THRESHOLD,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Lowest cosine between near-duplicates.",
)
@click.option("--tap", metavar="NAME", help="Tap to compare, if the database has several.")
@click.option("--sheet", type=click.Path(), metavar="FILE", help="Also write a contact sheet: .html or .png.")
@json_option
def command(database: str, threshold: float, tap: str | None, sheet: str | None, as_json: bool) -> int:
    """Group the near-duplicate photos of DATABASE.

    \b
    Example: edgefeat duplicates features.db --sheet duplicates.html

    Two photos are in the same group if the cosine of their features reaches the threshold, or if a chain of such pairs
    connects them. The largest file of a group comes first, and the cosines are measured to it. Nothing is deleted.
    """
    if sheet is not None:
        check_sheet(sheet)
    with FeatureStore.open(database) as store:
        if sheet is not None:
            check_sheet(sheet, store.paths())
        if tap is None and len(store.taps) > 1:
            raise ArgumentError(
                f"{database} has several taps ({', '.join(one.name for one in store.taps)}): choose one with --tap"
            )
        groups = duplicates(store, threshold, tap=tap, progress=sys.stderr.isatty() and not as_json)
        photos = len(store)
    spare = sum(len(group) - 1 for group in groups)
    said = (
        f"{counted(len(groups), 'group')} among {counted(photos, 'photo')}; {counted(spare, 'photo')} "
        f"besides the first of each group; cosine {threshold:g} or more"
    )
    if as_json:
        echo_json(
            {
                "threshold": threshold,
                "photos": photos,
                "groups": [[asdict(one) for one in group] for group in groups],
            }
        )
    else:
        if groups:
            echo_table(("group", "cosine", "kB", "photo"), _rows(groups))
        click.echo(said)
    if sheet is not None:
        write_sheet(Sheet("Near-duplicate photos", f"{said}.", _sheet_rows(groups)), sheet)
        click.echo(f"contact sheet: {sheet}", err=as_json)
    return 0


def _rows(groups: list[list[Duplicate]]) -> list[tuple[str, ...]]:
    return [
        (
            str(number) if place == 0 else "",
            "" if place == 0 else _said(one, f"{one.cosine:.4f}"),
            f"{(one.size or 0) / 1000:.0f}",
            one.path,
        )
        for number, group in enumerate(groups, 1)
        for place, one in enumerate(group)
    ]


def _said(one: Duplicate, cosine: str) -> str:
    return "link" if one.is_link else "same file" if one.same_file else cosine


def _sheet_rows(groups: list[list[Duplicate]]) -> list[SheetRow]:
    return [
        SheetRow(
            f"{number}: {counted(len(group), 'photo')}",
            Tile(group[0].path, _caption("largest", group[0])),
            [Tile(one.path, _caption(_said(one, f"{one.cosine:.3f}"), one)) for one in group[1:]],
        )
        for number, group in enumerate(groups, 1)
    ]


def _caption(said: str, one: Duplicate) -> str:
    return f"{said}, {(one.size or 0) / 1000:.0f} kB"
