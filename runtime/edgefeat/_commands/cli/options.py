"""Options shared by several commands, and the tables that commands print."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from edgefeat._bundle.variant import ALL_VARIANTS
from edgefeat._commands.cli.declaration import Option
from edgefeat._commands.cli.terminal import echo, printable
from edgefeat._engines.registry import ENGINES
from edgefeat._errors import ArgumentError
from edgefeat._images.limits import LEAST_SHARE, MAX_PIXELS, Limits

__all__ = [
    "CHOICE_OPTIONS",
    "JSON",
    "LIMIT_OPTIONS",
    "choice_options",
    "echo_json",
    "echo_table",
    "json_option",
    "limit_options",
    "limits_of",
]

F = TypeVar("F", bound=Callable[..., Any])


CHOICE_OPTIONS = (
    Option("variant", ("--variant",), f"Variant to run: {', '.join(ALL_VARIANTS)}.", metavar="NAME"),
    Option(
        "engine", ("--engine",), f"Engine to run it: {', '.join(engine.name for engine in ENGINES)}.", metavar="NAME"
    ),
)
JSON = Option("as_json", ("--json",), "Print the result as JSON on standard output.", "flag")
#: `limits_of` converts their values to limits.
LIMIT_OPTIONS = (
    Option(
        "max_pixels",
        ("--max-pixels",),
        f"Refuse photos with more pixels than this.  [default: {MAX_PIXELS}]",
        "whole",
        metavar="N",
        least=1,
    ),
    Option(
        "truncated",
        ("--truncated",),
        "What to do with truncated photos.",
        "word",
        words=("refuse", "accept"),
        default="refuse",
    ),
    Option(
        "least_share",
        ("--least-share",),
        f"Smallest share of its rows that a truncated photo must have.  [default: {LEAST_SHARE}]",
        "number",
        metavar="SHARE",
        least=0,
        above=True,
        most=1,
    ),
)


def choice_options(command: F) -> F:
    """Add `--variant` and `--engine` to a command."""
    return _added(command, CHOICE_OPTIONS)


def limit_options(command: F) -> F:
    """Add the options of `limits_of` to a command."""
    return _added(command, LIMIT_OPTIONS)


def json_option(command: F) -> F:
    """Add `--json` to a command."""
    return _added(command, (JSON,))


def _added(command: F, options: tuple[Option, ...]) -> F:
    from edgefeat._commands.cli.click_options import add_option

    for option in reversed(options):
        command = add_option(command, option)
    return command


def limits_of(max_pixels: int | None, truncated: str, least_share: float | None) -> Limits:
    """Return the limits for the values of LIMIT_OPTIONS. Raises ArgumentError if they contradict each other."""
    if truncated == "refuse" and least_share is not None:
        raise ArgumentError("--least-share requires --truncated accept: add --truncated accept")
    return Limits(max_pixels or MAX_PIXELS, (least_share or LEAST_SHARE) if truncated == "accept" else 1.0)


def echo_json(value: object) -> None:
    """Print one line of ASCII JSON."""
    echo(json.dumps(value))


def echo_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header in aligned columns, numbers to the right. Control characters are escaped."""
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
        echo("  ".join(cells).rstrip())
