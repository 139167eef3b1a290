"""Contact sheets: photos in rows to look at, as one HTML file or one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Sheet", "SheetRow", "Tile"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A photo with what is written below it: the caption, then the file's name."""

    path: str
    caption: str


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Photos that belong together; `lead` is the one that the others are compared with."""

    heading: str
    lead: Tile
    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A title, a sentence on what is shown, and the rows."""

    title: str
    about: str
    rows: Sequence[SheetRow]
