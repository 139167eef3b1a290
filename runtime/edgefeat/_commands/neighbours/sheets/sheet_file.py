"""Writing a contact sheet as HTML or PNG, chosen by the file extension."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edgefeat._commands.neighbours.sheets.sheet import Sheet, SheetRow
from edgefeat._errors import ArgumentError

__all__ = ["SHEET_SUFFIXES", "check_sheet", "write_sheet"]

SHEET_SUFFIXES = (".html", ".png")

# A page with more thumbnails opens slowly, and a PNG with more is too tall for most viewers.
_MOST_TILES = {".html": 3000, ".png": 600}


def check_sheet(path: str | os.PathLike[str], photos: Iterable[str] = ()) -> None:
    """Raise ArgumentError early if `write_sheet` could not write `path` or would replace one of `photos`."""
    target = Path(path)
    if target.suffix.lower() not in SHEET_SUFFIXES:
        raise ArgumentError(
            f"contact sheet {os.fspath(path)!r} has an unknown file extension (allowed: {', '.join(SHEET_SUFFIXES)})"
        )
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise ArgumentError(
            f"contact sheet {os.fspath(path)!r} cannot be written: its folder does not exist, or a folder has this name"
        )
    if not os.access(target.absolute().parent, os.W_OK | os.X_OK):
        raise ArgumentError(f"contact sheet {os.fspath(path)!r} cannot be written: its folder is not writable")
    if target.exists():
        # Names are compared first: resolving the links of a million photos would be slow.
        for photo in photos:
            if os.path.basename(photo) == target.name and os.path.realpath(photo) == os.path.realpath(target):
                raise ArgumentError(f"contact sheet {os.fspath(path)!r} would replace a photo: choose another name")


def write_sheet(sheet: Sheet, path: str | os.PathLike[str]) -> None:
    """Write the sheet atomically as HTML or PNG, chosen by the extension of `path`.

    A photo that cannot be read is shown as its error. Rows beyond a viewer's limit are left out, which the sheet
    mentions. Raises ArgumentError, OutputError.
    """
    check_sheet(path)
    suffix = Path(path).suffix.lower()
    rows = _first(sheet.rows, _MOST_TILES[suffix])
    about = sheet.about
    if len(rows) < len(sheet.rows):
        about += f" The first {len(rows)} of {len(sheet.rows)} are shown."
    for row, whole in zip(rows, sheet.rows, strict=False):
        if len(row.tiles) < len(whole.tiles):
            about += f" Of {whole.heading!r} the first {len(row.tiles) + 1} of {len(whole.tiles) + 1} photos are shown."
    shown = replace(sheet, rows=rows, about=about)
    if suffix == ".html":
        from edgefeat._commands.neighbours.sheets.html_page import write_html

        write_html(shown, path)
    else:
        from edgefeat._commands.neighbours.sheets.png_image import write_png

        write_png(shown, path)


def _first(rows: Iterable[SheetRow], most: int) -> list[SheetRow]:
    """Return the first rows, up to `most` tiles in total. The first row is always included, shortened if necessary."""
    kept: list[SheetRow] = []
    left = most
    for row in rows:
        if kept and len(row.tiles) + 1 > left:
            break
        kept.append(replace(row, tiles=row.tiles[: most - 1]))
        left -= len(row.tiles) + 1
    return kept
