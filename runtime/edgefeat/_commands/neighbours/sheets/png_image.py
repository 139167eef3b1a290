"""A contact sheet as one PNG image."""

from __future__ import annotations

import functools
import os
import unicodedata
from collections.abc import Iterator
from typing import Any, BinaryIO

from PIL import Image, ImageDraw, ImageFont

from edgefeat._bundle.atomic_files import write_file
from edgefeat._commands.cli.terminal import printable
from edgefeat._commands.neighbours.sheets.sheet import Sheet, SheetRow, Tile
from edgefeat._commands.neighbours.thumbnail import thumbnail
from edgefeat._errors import PictureError

__all__ = ["write_png"]

_TILE, _GAP, _LINE = 150, 12, 18
_HEIGHT = _TILE + 2 * _LINE + _GAP  # of a tile with its caption
_COLUMNS = 6  # besides the lead
_PAPER, _INK, _FAINT, _BEHIND, _EMPTY = "#ffffff", "#1b1b1b", "#5f5f5f", "#f3f3f3", "#e6e6e6"

_NO_LETTER = "\uffff"  # no font has this character: it is drawn as the font's symbol for missing ones


def write_png(sheet: Sheet, path: str | os.PathLike[str]) -> None:
    """Write the sheet: in each row the lead at the left, the others in lines of six beside it."""
    columns = min(_COLUMNS, max((len(row.tiles) for row in sheet.rows), default=0))
    font, heading = _font(12), _font(15)
    about = list(_wrapped(sheet.about, font, max(columns, 3) * (_TILE + _GAP)))
    top = _GAP + 28 + _LINE * len(about)
    heights = [_LINE + 8 + _lines(row) * _HEIGHT for row in sheet.rows]
    width = 4 * _GAP + (max(columns, 3) + 1) * (_TILE + _GAP)
    image = Image.new("RGB", (width, top + sum(heights) + _GAP), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_GAP, _GAP), _fitting(sheet.title, heading, width - 2 * _GAP), fill=_INK, font=heading)
    for number, line in enumerate(about):
        draw.text((_GAP, _GAP + 24 + number * _LINE), line, fill=_FAINT, font=font)
    for row, height in zip(sheet.rows, heights, strict=True):
        draw.line((_GAP, top, width - _GAP, top), fill=_EMPTY)
        draw.text((_GAP, top + 4), _fitting(row.heading, font, width - 2 * _GAP), fill=_FAINT, font=font)
        for tile, x, y in _places(row, top + _LINE + 8):
            _draw(image, draw, tile, x, y, font)
        top += height

    def write(stream: BinaryIO) -> None:
        image.save(stream, "PNG")

    write_file(path, write)


def _lines(row: SheetRow) -> int:
    return max(1, -(-len(row.tiles) // _COLUMNS))


def _places(row: SheetRow, top: int) -> Iterator[tuple[Tile, int, int]]:
    yield row.lead, _GAP, top
    for number, tile in enumerate(row.tiles):
        line, column = divmod(number, _COLUMNS)
        yield tile, 3 * _GAP + (column + 1) * (_TILE + _GAP), top + line * _HEIGHT


def _draw(image: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, font: Any) -> None:
    place = (x, y, x + _TILE - 1, y + _TILE - 1)
    try:
        small = thumbnail(tile.path, _TILE)
    except PictureError as error:
        draw.rectangle(place, fill=_EMPTY)
        for number, line in enumerate(list(_wrapped(str(error), font, _TILE - 12))[:7]):
            draw.text((x + 6, y + 6 + number * _LINE), line, fill=_FAINT, font=font)
    else:
        draw.rectangle(place, fill=_BEHIND)
        image.paste(small, (x + (_TILE - small.width) // 2, y + (_TILE - small.height) // 2))
    below = ((tile.caption, _INK), (os.path.basename(tile.path), _FAINT))
    for number, (text, colour) in enumerate(below):
        draw.text((x, y + _TILE + 2 + number * (_LINE - 2)), _fitting(text, font, _TILE), fill=colour, font=font)


def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one size only
        return ImageFont.load_default()


def _wrapped(text: str, font: Any, width: int) -> Iterator[str]:
    """Yield the words in lines up to `width` pixels long."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and _length(longer, font) > width:
            yield _fitting(line, font, width)
            line = word
        else:
            line = longer
    if line:
        yield _fitting(line, font, width)


def _fitting(text: str, font: Any, width: int) -> str:
    """Return the text as this font can draw it, shortened in the middle if it is longer than `width` pixels."""
    shown = _drawable(text, font)
    kept = len(shown)
    while _length(shown, font) > width and kept > 4:
        kept -= 1
        plain = _drawable(text, font)
        shown = f"{plain[: kept // 2]}..{plain[len(plain) - (kept - kept // 2) :]}"
    return shown


def _drawable(text: str, font: Any) -> str:
    """Replace characters that the font lacks with their base letters, such as u for \u00fc, or a question mark."""
    known = printable(text).encode("utf-8", "replace").decode("utf-8")
    if not isinstance(font, ImageFont.FreeTypeFont):
        return known.encode("latin-1", "replace").decode("latin-1")
    empty = _shape(_NO_LETTER, font)

    def drawn(letter: str) -> str:
        if letter == " " or _shape(letter, font) != empty:
            return letter
        plain = unicodedata.normalize("NFKD", letter)[0]
        return plain if plain != letter and _shape(plain, font) != empty else "?"

    return "".join(map(drawn, unicodedata.normalize("NFC", known)))


@functools.lru_cache(4096)
def _shape(letter: str, font: Any) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def _length(text: str, font: Any) -> float:
    length: float = font.getlength(text)
    return length
