"""The photos of a run: JPEGs as a camera writes them, in the given sizes, from the user's photos or generated."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edgefeat import ArgumentError
from edgefeat._bundle.atomic_files import written_file
from edgefeat._images.sources.folders import pictures_in
from edgefeat_bench._records import Photos
from edgefeat_bench._setup.generated_photos import photo_of_size

#: Among the sizes, images already in memory.
ARRAYS = "array"
_ARRAY_SIZE = (640, 480)
# What phones write: quality about 90, colours at half the resolution.
_QUALITY, _SUBSAMPLING = 90, 2
# A photo is enlarged by at most this factor. Otherwise a generated one takes its place.
_MOST_ENLARGED = 1.5


def parsed_size(text: str) -> tuple[int, int] | None:
    """Return width and height from `1600x1200`; None for `array`. Raises ArgumentError."""
    if text == ARRAYS:
        return None
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if match is None or int(match[1]) * int(match[2]) > 108_000_000:
        raise ArgumentError(f"size {text!r} (allowed: WIDTHxHEIGHT up to 108 megapixels, or {ARRAYS})")
    return int(match[1]), int(match[2])


def source_photos(source: str | None) -> list[str]:
    """Return the photos in the user's folder, none without a folder. Raises ArgumentError for one without photos."""
    if source is None:
        return []
    if not os.path.exists(source):
        raise ArgumentError(
            f"folder {source!r} does not exist (expected: a folder of photos, or none to generate photos)"
        )
    found = pictures_in(source)
    if not found:
        raise ArgumentError(f"no photo in {source!r} (expected: a folder of photos, or none to generate photos)")
    return found


def photos_of_sizes(source: str | None, sizes: Sequence[str], count: int, folder: Path) -> tuple[Photos, ...]:
    """Return `count` photos of each size, written below `folder`. Raises ArgumentError for a folder without photos.

    Photos of `source` are rotated upright, cropped to the shape and made smaller. The names of generated ones begin
    with `generated`. Arrays are uint8 RGB (480, 640, 3).
    """
    found = source_photos(source)
    # Spread over the folder, which may be sorted by subject.
    most = min(count, len(found))
    chosen = [found[index * len(found) // most] for index in range(most)]
    return tuple(_photos(text, chosen, count, folder / text) for text in dict.fromkeys(sizes))


def _photos(text: str, sources: Sequence[str], count: int, folder: Path) -> Photos:
    array, (width, height) = text == ARRAYS, parsed_size(text) or _ARRAY_SIZE
    folder.mkdir(parents=True, exist_ok=True)
    each = [*sources, *[None] * (count - len(sources))]
    files = tuple(str(_written(source, index, (width, height), folder, array)) for index, source in enumerate(each))
    return Photos(f"{width}x{height}{' array' if array else ''}", width * height / 1e6, files, array)


def _written(source: str | None, index: int, size: tuple[int, int], folder: Path, array: bool) -> Path:
    image, suffix = _resized(source, size) if source is not None else None, ".npy" if array else ".jpg"
    if image is None or source is None:
        path = folder / f"generated-{index + 1}{suffix}"
        if path.exists():
            return path
        image = photo_of_size(index, size)
    else:
        # By content: a run resumes with a new copy of the same photos.
        mark = hashlib.sha256(Path(source).read_bytes()).hexdigest()[:6]
        path = folder / f"{Path(source).stem}-{mark}{suffix}"
    with written_file(path) as stream:  # complete or not at all: later runs use it again
        if array:
            np.save(stream, np.asarray(image))
        else:
            image.save(stream, "JPEG", quality=_QUALITY, subsampling=_SUBSAMPLING)
    return path


def _resized(source: str, size: tuple[int, int]) -> Image.Image | None:
    """Return the photo in that size; None if it is unreadable, too small, or larger than Pillow opens."""
    try:
        with Image.open(source) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if max(size[0] / image.width, size[1] / image.height) > _MOST_ENLARGED:
        return None
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
