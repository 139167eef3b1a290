"""Pillow's bilinear resize with antialiasing, by several threads where that is quicker, to the same bytes."""

from __future__ import annotations

import threading

from PIL import Image

__all__ = ["resized"]

# Fewer pixels than these are resized sooner than another thread is started.
_LEAST_PIXELS = 100_000
_MOST_BANDS = 4


def resized(
    image: Image.Image, size: tuple[int, int], *, box: tuple[int, int, int, int] | None = None, threads: int = 1
) -> Image.Image:
    """`image.resize(size, BILINEAR, box=box)`, bit for bit, in bands of rows that threads compute side by side.

    Pillow weighs what lies above and below a band's box too, and lets other threads run meanwhile. Only a half or a
    quarter of the box is told to Pillow exactly, so an odd height stays in one piece.
    """
    left, top, right, bottom = box or (0, 0, *image.size)
    width, height = size
    bands = _bands((right - left) * (bottom - top), height, threads)
    if bands == 1:
        return image.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    whole = Image.new(image.mode, size)
    rows, step = height // bands, (bottom - top) / bands
    failures: list[Exception] = []

    def fill(band: int) -> None:
        try:
            part = (left, top + band * step, right, top + (band + 1) * step)
            whole.paste(image.resize((width, rows), Image.Resampling.BILINEAR, box=part), (0, band * rows))
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


def _bands(pixels: int, height: int, threads: int) -> int:
    bands = 1
    while bands * 2 <= min(threads, _MOST_BANDS) and height % (bands * 2) == 0 and pixels >= _LEAST_PIXELS:
        bands *= 2
    return bands
