"""Options that several commands share, and the plain tables they print."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from edgefeat._engines import ENGINES
from edgefeat._errors import ArgumentError
from edgefeat._limits import LEAST_SHARE, MAX_PIXELS, Limits
from edgefeat._manifest import VARIANTS
from edgefeat._text import printable

__all__ = ["choice_options", "echo_json", "echo_table", "json_option", "limit_options", "limits_of"]

F = TypeVar("F", bound=Callable[..., Any])


def choice_options(command: F) -> F:
    """Adds `--variant` and `--engine`."""
    engines = [engine.name for engine in ENGINES]
    command = click.option("--engine", metavar="NAME", help=f"Engine to run it: {', '.join(engines)}.")(command)
    return click.option("--variant", metavar="NAME", help=f"Model file to run: {', '.join(VARIANTS)}.")(command)


def json_option(command: F) -> F:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")(command)


def limit_options(command: F) -> F:
    """Adds `--max-pixels`, `--truncated` and `--least-share`; `limits_of` makes limits of them."""
    for option in (
        click.option(
            "--least-share",
            type=click.FloatRange(0, 1, min_open=True),
            metavar="SHARE",
            help=f"The share of its rows that a truncated photo must have.  [default: {LEAST_SHARE}]",
        ),
        click.option(
            "--truncated",
            type=click.Choice(("refuse", "accept")),
            default="refuse",
            show_default=True,
            help="What becomes of photos that were cut short.",
        ),
        click.option(
            "--max-pixels",
            type=click.IntRange(min=1),
            metavar="N",
            help=f"Refuse photos of more pixels, decoded.  [default: {MAX_PIXELS}]",
        ),
    ):
        command = option(command)
    return command


def limits_of(max_pixels: int | None, truncated: str, least_share: float | None) -> Limits:
    """The limits that the options of `limit_options` ask for. Raises ArgumentError where they do not go together."""
    if truncated == "refuse" and least_share is not None:
        raise ArgumentError("--least-share goes with --truncated accept alone: add --truncated accept")
    return Limits(max_pixels or MAX_PIXELS, (least_share or LEAST_SHARE) if truncated == "accept" else 1.0)


def echo_json(value: object) -> None:
    """Prints one line of ASCII JSON."""
    click.echo(json.dumps(value))


def echo_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows under a header, columns aligned; a column of numbers to the right. Names are made printable."""
    lines = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    numeric = [
        all(row[column][:1].isdigit() or row[column] in ("", "-") for row in rows) for column in range(len(header))
    ]
    for line in lines:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())
