"""Options that several commands share, and the plain tables they print."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from edgefeat._engines import ENGINES
from edgefeat._manifest import VARIANTS
from edgefeat._text import printable

__all__ = ["choice_options", "echo_json", "echo_table", "json_option"]

F = TypeVar("F", bound=Callable[..., Any])


def choice_options(command: F) -> F:
    """Adds `--variant` and `--engine`."""
    engines = [engine.name for engine in ENGINES]
    command = click.option("--engine", metavar="NAME", help=f"Engine to run it: {', '.join(engines)}.")(command)
    return click.option("--variant", metavar="NAME", help=f"Model file to run: {', '.join(VARIANTS)}.")(command)


def json_option(command: F) -> F:
    """Adds `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")(command)


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
