"""Rows that a long run appends to a file, so that it resumes, and the part of a page that they are written to."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["append", "read", "write_between"]

Row = TypeVar("Row")


def read(file: Path, kind: type[Row]) -> list[Row]:
    """Return the rows of earlier runs; one cut off in the middle of a line is done again."""
    rows = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            rows.append(kind(**json.loads(line)))
        except (ValueError, TypeError):
            print(f"left out of {file}: {line!r}", file=sys.stderr)
    return rows


def append(file: Path, row: Any) -> None:
    """Append a row, a dataclass, to the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write(json.dumps(asdict(row)) + "\n")


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what is between two marker comments of a page."""
    old = page.read_text(encoding="utf-8")
    page.write_text(f"{old.split(begin)[0]}{begin}\n{text}\n{end}{old.split(end)[1]}", encoding="utf-8")
