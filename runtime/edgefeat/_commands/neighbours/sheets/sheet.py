"""The content of a contact sheet: photos in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Sheet", "SheetRow", "Tile"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A photo with two lines below it: the caption and the file's name."""

    path: str
    caption: str


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A group of photos; `lead` is the one that the others are compared with."""

    heading: str
    lead: Tile
    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A title, a sentence that describes the sheet, and the rows."""

    title: str
    about: str
    rows: Sequence[SheetRow]
