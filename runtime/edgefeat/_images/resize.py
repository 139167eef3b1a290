"""Pillow's bilinear resize with antialiasing, split between threads with identical results."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Frame", "resized"]

# Smaller images are resized faster than a thread is started.
_LEAST_PIXELS = 100_000
_COLUMNS, _ROWS = 0, 1


class Frame(NamedTuple):
    """A uint8 array (H, W, 3) as a source of images. `order` is its channel order, "RGB" or "BGR"."""

    array: NDArray[np.uint8]
    order: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.array.shape[1], self.array.shape[0]

    def image(self, axis: int = _ROWS, first: int = 0, last: int | None = None) -> Image.Image:
        """Return the columns or rows from `first` up to `last` as an RGB image."""
        part = np.ascontiguousarray(self.array[first:last] if axis == _ROWS else self.array[:, first:last])
        return Image.frombuffer("RGB", (part.shape[1], part.shape[0]), part, "raw", self.order, 0, 1)


class _Band(NamedTuple):
    """A band of the resized image: its `place` and `size` there, and its box in the source.

    The columns or rows of the source from `first` up to `last` contribute to it: the band's piece.
    """

    axis: int
    place: tuple[int, int]
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    first: int
    last: int

    def of_piece(self) -> tuple[float, float, float, float]:
        """Return the box in the coordinates of the piece."""
        moved = [edge - self.first if index % 2 == self.axis else edge for index, edge in enumerate(self.box)]
        return moved[0], moved[1], moved[2], moved[3]


def resized(
    source: Image.Image | Frame,
    size: tuple[int, int],
    *,
    box: tuple[int, int, int, int] | None = None,
    threads: int = 1,
) -> Image.Image:
    """Return `image.resize(size, BILINEAR, box=box)`, bit for bit, computed in bands by several threads.

    Pillow includes pixels around a band's box in its filter, and releases the GIL while it resizes.
    """
    box = box or (0, 0, *source.size)
    bands = _bands(source.size, size, box, threads)
    if not bands:
        image = source.image() if isinstance(source, Frame) else source
        return image.resize(size, Image.Resampling.BILINEAR, box=box)
    piece = _pieces(source, size, bands)
    whole = Image.new("RGB" if isinstance(source, Frame) else source.mode, size)

    def fill(band: _Band) -> None:
        image, part = piece(band)
        whole.paste(image.resize(band.size, Image.Resampling.BILINEAR, box=part), band.place)

    _side_by_side([partial(fill, band) for band in bands])
    return whole


def _bands(source: tuple[int, int], size: tuple[int, int], box: tuple[int, int, int, int], threads: int) -> list[_Band]:
    """Return the bands, or none if one thread is as fast or the result would differ.

    Only halves and quarters of the box are exact in Pillow, so an odd side is not split.
    """
    if threads < 2 or (box[2] - box[0]) * (box[3] - box[1]) < _LEAST_PIXELS:
        return []
    for count in (4, 2):
        for axis in (_ROWS, _COLUMNS):  # rows first: they are contiguous in memory
            if count > threads or size[axis] % count:
                continue
            bands = [_band(axis, index, count, source, size, box) for index in range(count)]
            if _passes(source, bands[0].size) == _passes(source, size):
                return bands
    return []


def _band(
    axis: int, index: int, count: int, source: tuple[int, int], size: tuple[int, int], box: tuple[int, int, int, int]
) -> _Band:
    long = size[axis] // count
    step = (box[axis + 2] - box[axis]) / count
    begin, end = box[axis] + index * step, box[axis] + (index + 1) * step
    reach = math.ceil(max(step / long, 1.0)) + 1
    first, last = max(0, math.floor(begin) - reach), min(source[axis], math.ceil(end) + reach)
    if axis == _COLUMNS:
        return _Band(axis, (index * long, 0), (long, size[1]), (begin, box[1], end, box[3]), first, last)
    return _Band(axis, (0, index * long), (size[0], long), (box[0], begin, box[2], end), first, last)


def _passes(source: tuple[int, int], size: tuple[int, int]) -> tuple[bool, bool]:
    """Return what determines the order of Pillow's two passes, and so its rounding: since 13 and since 11.2.

    Found by experiment with Pillow 13.0. Older versions always begin with the rows.
    """
    less = source[0] - size[0], source[1] - size[1]
    return less[1] > max(0, 2 * less[0]), source[1] > 100 * source[0]


def _pieces(
    source: Image.Image | Frame, size: tuple[int, int], bands: list[_Band]
) -> Callable[[_Band], tuple[Image.Image, tuple[float, float, float, float]]]:
    """Return a function that gives the image for a band and the band's box in it. Arrays are sliced where that is
    exact.
    """
    if isinstance(source, Frame):
        frame = source
        width, height = source.size
        lengths = [band.last - band.first for band in bands]
        sizes = [(long, height) if bands[0].axis == _COLUMNS else (width, long) for long in lengths]
        if all(_passes(one, bands[0].size) == _passes(source.size, size) for one in sizes):
            return lambda band: (frame.image(band.axis, band.first, band.last), band.of_piece())
        image = source.image()
    else:
        image = source
    return lambda band: (image, band.box)


def _side_by_side(jobs: list[Callable[[], None]]) -> None:
    """Run the first job in this thread and each other one in its own thread. Raises the first error."""
    failures: list[Exception] = []

    def do(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001  raised below, in the thread that asked
            failures.append(error)

    others = []
    for job in jobs[1:]:
        other = threading.Thread(target=do, args=(job,))
        try:
            other.start()
        except RuntimeError:  # the system allows no more threads
            do(job)
        else:
            others.append(other)
    do(jobs[0])
    for other in others:
        other.join()
    if failures:
        raise failures[0]
