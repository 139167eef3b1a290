"""Pillow's bilinear resize with antialiasing, by several threads where that is quicker, to the same bytes."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Frame", "resized"]

# Fewer pixels than these are resized sooner than another thread is started.
_LEAST_PIXELS = 100_000
_MOST_BANDS = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """A uint8 array (H, W, 3) as a source of images; `order` is that of its channels, "RGB" or "BGR"."""

    array: NDArray[np.uint8]
    order: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.array.shape[1], self.array.shape[0]

    def image(self, first: int = 0, last: int | None = None) -> Image.Image:
        """The rows from `first` to before `last`, in RGB."""
        rows = np.ascontiguousarray(self.array[first:last])
        return Image.frombuffer("RGB", (rows.shape[1], rows.shape[0]), rows, "raw", self.order, 0, 1)


def resized(
    source: Image.Image | Frame,
    size: tuple[int, int],
    *,
    box: tuple[int, int, int, int] | None = None,
    threads: int = 1,
) -> Image.Image:
    """`image.resize(size, BILINEAR, box=box)`, bit for bit, in bands of rows that threads compute side by side.

    Pillow weighs what lies above and below a band's box too, and lets other threads run meanwhile. Only a half or a
    quarter of the box is told to Pillow exactly, so an odd height stays in one piece.
    """
    left, top, right, bottom = box or (0, 0, *source.size)
    width, height = size
    bands = _bands((right - left) * (bottom - top), height, threads)
    if bands == 1:
        image = source.image() if isinstance(source, Frame) else source
        return image.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    whole = Image.new("RGB" if isinstance(source, Frame) else source.mode, size)
    rows, step = height // bands, (bottom - top) / bands
    failures: list[Exception] = []

    def fill(band: int) -> None:
        try:
            begin, end = top + band * step, top + (band + 1) * step
            image, above = _around(source, begin, end, step / rows)
            part = image.resize((width, rows), Image.Resampling.BILINEAR, box=(left, begin - above, right, end - above))
            whole.paste(part, (0, band * rows))
        except Exception as error:  # noqa: BLE001  raised below, in the thread that asked
            failures.append(error)

    others = [threading.Thread(target=fill, args=(band,)) for band in range(1, bands)]
    for other in others:
        other.start()
    fill(0)
    for other in others:
        other.join()
    if failures:
        raise failures[0]
    return whole


def _around(source: Image.Image | Frame, begin: float, end: float, scale: float) -> tuple[Image.Image, int]:
    """An image that has all rows which weigh in between `begin` and `end`, and how many of the source are above it."""
    if not isinstance(source, Frame):
        return source, 0
    reach = math.ceil(max(scale, 1.0)) + 1
    first = max(0, math.floor(begin) - reach)
    return source.image(first, math.ceil(end) + reach), first


def _bands(pixels: int, height: int, threads: int) -> int:
    bands = 1
    while bands * 2 <= min(threads, _MOST_BANDS) and height % (bands * 2) == 0 and pixels >= _LEAST_PIXELS:
        bands *= 2
    return bands
