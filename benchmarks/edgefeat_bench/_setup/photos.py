"""The pictures of a run: JPEGs as a camera writes them, in the sizes asked for, from the user's photos or made up."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edgefeat import ArgumentError
from edgefeat._bundle.atomic_files import written_file
from edgefeat._images.sources.folders import pictures_in
from edgefeat_bench._records import Photos
from edgefeat_bench._setup.generated_photos import make_scene

__all__ = ["ARRAYS", "columns", "parsed_size"]

#: The size, among those asked for, that stands for pictures already in memory.
ARRAYS = "array"
# What phones write: quality about 90, colours at half the resolution.
_QUALITY, _SUBSAMPLING = 90, 2
# A photo is enlarged so much at most: beyond that it is no camera's picture any more; a made-up one takes its place.
_MOST_ENLARGED = 1.5


def parsed_size(text: str) -> tuple[int, int] | None:
    """Width and height from `1600x1200`; None for `array`. Raises ArgumentError."""
    if text == ARRAYS:
        return None
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if match is None or int(match[1]) * int(match[2]) > 64_000_000:
        raise ArgumentError(f"size {text!r} (allowed: WIDTHxHEIGHT up to 64 megapixels, or {ARRAYS})")
    return int(match[1]), int(match[2])


def columns(photos: str | None, sizes: Sequence[str], count: int, folder: Path) -> tuple[Photos, ...]:
    """For each of `sizes` `count` pictures below `folder`. A folder `photos` that has none is an ArgumentError.

    Photos are turned upright, cut to the size's shape and made smaller; those much too small give way to made-up ones,
    whose names begin with `made-up`. Arrays are uint8 RGB (480, 640, 3).
    """
    sources = _sources(photos, count)
    return tuple(_column(text, sources, count, folder) for text in dict.fromkeys(sizes))


def _sources(photos: str | None, count: int) -> list[str]:
    if photos is None:
        return []
    found = pictures_in(photos)
    if not found:
        raise ArgumentError(f"no photo in {photos!r} (expected: a folder of photos; leave it out for made-up ones)")
    # Spread over the folder, which may be sorted by kind.
    return [found[index * len(found) // min(count, len(found))] for index in range(min(count, len(found)))]


def _column(text: str, sources: Sequence[str], count: int, folder: Path) -> Photos:
    size = parsed_size(text)
    width, height = size or (640, 480)
    home = folder / text
    home.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(count):
        source = sources[index % len(sources)] if index < len(sources) else None
        files.append(_written(source, index, (width, height), home, array=size is None))
    name = f"{width}x{height} array" if size is None else f"{width}x{height}"
    return Photos(name, width * height / 1e6, tuple(str(path) for path in files), arrays=size is None)


def _written(source: str | None, index: int, size: tuple[int, int], home: Path, *, array: bool) -> Path:
    image = None if source is None else _from_photo(source, size)
    ending = ".npy" if array else ".jpg"
    if image is None or source is None:
        path = home / f"made-up-{index + 1}{ending}"
        if path.exists():
            return path
        image = make_scene(index, size)
    else:
        mark = hashlib.sha256(f"{source} {Path(source).stat().st_mtime_ns}".encode()).hexdigest()[:6]
        path = home / f"{Path(source).stem}-{mark}{ending}"
    # Whole or not at all: a made-up one that is there is taken as it is.
    with written_file(path) as stream:
        if array:
            np.save(stream, np.asarray(image))
        else:
            image.save(stream, "JPEG", quality=_QUALITY, subsampling=_SUBSAMPLING)
    return path


def _from_photo(source: str, size: tuple[int, int]) -> Image.Image | None:
    """The photo in that size; None where it is unreadable or too small."""
    try:
        with Image.open(source) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    scale = max(size[0] / image.width, size[1] / image.height)
    if scale > _MOST_ENLARGED:
        return None
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
