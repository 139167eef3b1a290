"""A run's figures as tables, from `tables.jinja`: the same in Markdown, on the page, in the README and the terminal."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from edgefeat_bench._records import Result, Run
from edgefeat_bench._report.rendering import environment

#: The tables of a report in reading order, by the macro that gives them.
NAMES = (
    *("peer", "latency", "stage", "contender", "cold", "bulk", "quality", "cost", "peak", "excluded"),
    "versions",
)
#: What a separator, a mark of a caption or of a row, inserted as text, is until the text has been split.
_KEPT = {"|": "\ue000", "#": "\ue001", "\n": " "}
_STRUCK = "\ue002"


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row; a `struck` one is crossed out, because its contender is wrong or has crashed."""

    cells: tuple[str, ...]
    struck: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, a header and rows of as many cells; the first cell names the row."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def tables(name: str, *subject: Any) -> list[Table]:
    """Return the tables of that name that have rows; there are several of some, such as one for each kind of photos.

    The subject is a run, or for a comparison runs and their names.
    """
    blocks = re.split(r"^#", getattr(_macros(), f"{name}_table")(*subject), flags=re.MULTILINE)[1:]
    found = []
    for block in blocks:
        caption, header, *rows = (line for line in block.splitlines())
        cells = [_row(row) for row in rows if row.strip()]
        found.append(Table(_restored(caption), _row(header).cells, tuple(cells)))
    return [table for table in found if table.rows]


def all_tables(run: Run) -> list[Table]:
    """Return every table of a run that has rows, in reading order."""
    return [table for name in NAMES for table in tables(name, run)]


@functools.cache
def _macros() -> Any:
    found = environment(escape=lambda text: "".join(_KEPT.get(letter, letter) for letter in text))
    found.globals["struck"] = lambda result: _STRUCK if _is_invalid(result) else ""
    return found.get_template("tables.jinja").module


def _is_invalid(result: Any) -> bool:
    return isinstance(result, Result) and result.status != "ok"


def _row(line: str) -> Row:
    return Row(tuple(_restored(cell) for cell in line.removeprefix(_STRUCK).split("|")), line.startswith(_STRUCK))


def _restored(text: str) -> str:
    for letter, kept in list(_KEPT.items())[:2]:
        text = text.replace(kept, letter)
    return text.strip()
