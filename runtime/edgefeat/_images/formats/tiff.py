"""TIFF: limits on directories, strips and tiles, checked before Pillow reads them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from edgefeat._errors import PictureError
from edgefeat._images.limits import Limits

__all__ = ["check_directory", "check_tiff"]

# The limit for all values of a directory: an ICC profile and a few million offsets. Values may overlap in the file, so
# a small file can claim terabytes.
_MOST_TAG_BYTES = 32_000_000

_MOST_ENTRIES, _MOST_PIECES = 1_000, 100_000
# Bytes a strip or tile may take for each pixel of the limit, in addition to the image: 256 MB in total.
_PIECE_BYTES = 4

_SIZES: Final[Mapping[int, int]] = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip
_NUMBERS: Final[Mapping[int, str]] = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _STRIPS, _ORIENTATION, _SAMPLES, _ROWS = 254, 256, 257, 258, 273, 274, 277, 278
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _RAW_OF_CAMERA = 322, 323, 324, 50706
# The other directories that Pillow reads: sub-files, EXIF, GPS, and the EXIF interoperability directory.
_OTHERS = (330, 34665, 34853, 40965)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A tag's first value, if it is an integer, and the number of values."""

    first: int | None
    count: int


def check_tiff(stream: BinaryIO, limits: Limits) -> None:
    """Raise PictureError for a TIFF that needs too much time or memory, or whose first page is only a preview."""
    tags = check_directory(stream)
    width, height = _first(tags, _WIDTH, 0), _first(tags, _HEIGHT, 0)
    if not width or not height:
        return  # Pillow reports it
    turned = 2 if _first(tags, _ORIENTATION, 1) > 1 else 1  # Pillow holds a second copy while turning it upright
    limits.check((width, height), what="a TIFF", cost=turned)
    if _RAW_OF_CAMERA in tags or _first(tags, _SUBFILE, 0) & 1:
        raise PictureError(
            "a TIFF whose first page is a preview, such as a raw file of a camera: export a JPEG or TIFF of it first"
        )
    pieces = max(tags[tag].count for tag in (_STRIPS, _TILES) if tag in tags) if {_STRIPS, _TILES} & tags.keys() else 0
    if pieces > _MOST_PIECES:
        raise PictureError(
            f"a TIFF of {pieces:,} strips or tiles (allowed: {_MOST_PIECES:,}): save it with larger ones"
        )
    across, down = width, min(height, _first(tags, _ROWS, height))
    if _TILES in tags:
        across, down = _first(tags, _TILE_WIDTH, width), _first(tags, _TILE_HEIGHT, height)
    held = across * down * _first(tags, _SAMPLES, 1) * _first(tags, _BITS, 8) // 8
    if held > _PIECE_BYTES * limits.max_pixels:
        raise PictureError(
            f"a TIFF with a strip or tile of {held:,} bytes (allowed: {_PIECE_BYTES * limits.max_pixels:,}): "
            "save it with smaller ones"
        )


def check_directory(stream: BinaryIO) -> dict[int, _Entry]:
    """Return the tags of the first directory. Raises PictureError if it, or one it refers to, is too large."""
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    if len(head) < 16:
        return {}
    (offset,) = struct.unpack(f"{order}Q", head[8:]) if big else struct.unpack(f"{order}I", head[4:8])
    tags = _tags(stream, offset, order, big=big)
    waiting = [tags[tag].first for tag in _OTHERS if tag in tags]
    seen = {offset}
    while waiting:
        place = waiting.pop()
        if place is None or place in seen:
            continue
        seen.add(place)
        others = _tags(stream, place, order, big=big)
        waiting += [others[tag].first for tag in _OTHERS if tag in others]
    return tags


def _tags(stream: BinaryIO, offset: int, order: str, *, big: bool) -> dict[int, _Entry]:
    wide, number, entry = (8, "Q", 20) if big else (2, "H", 12)
    stream.seek(min(offset, 2**62))
    head = stream.read(wide)
    if len(head) < wide:
        return {}
    (count,) = struct.unpack(order + number, head)
    if count > _MOST_ENTRIES:
        raise PictureError(f"a directory of {count:,} tags (allowed: {_MOST_ENTRIES:,})")
    data = stream.read(count * entry)
    tags: dict[int, _Entry] = {}
    held = 0
    for start in range(0, len(data) - entry + 1, entry):
        tag, kind, values = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, start)
        size = values * _SIZES.get(kind, 0)
        held += size
        place = data[start + entry - (8 if big else 4) : start + entry]
        tags[tag] = _Entry(_value(stream, place, kind, size, order), values)
    if held > _MOST_TAG_BYTES:
        raise PictureError(f"tags of {held:,} bytes (allowed: {_MOST_TAG_BYTES:,})")
    return tags


def _value(stream: BinaryIO, place: bytes, kind: int, size: int, order: str) -> int | None:
    """Return the first of a tag's values, stored in `place` if they fit there, else at the offset in `place`."""
    form = _NUMBERS.get(kind)
    if form is None or not size:
        return None
    if size > len(place):
        (offset,) = struct.unpack(order + ("Q" if len(place) == 8 else "I"), place)
        stream.seek(min(offset, 2**62))
        place = stream.read(struct.calcsize(form))
    if len(place) < struct.calcsize(form):
        return None
    return int(struct.unpack_from(order + form, place)[0])


def _first(tags: Mapping[int, _Entry], tag: int, default: int) -> int:
    entry = tags.get(tag)
    return default if entry is None or entry.first is None else entry.first
