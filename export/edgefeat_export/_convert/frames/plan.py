"""The plan of a frame's way into a network: which bytes contribute to which pixels, independent of the file format.

    bytes -> pass over each row: resize along it, separate the colours -> rounded to bytes
          -> pass over each column: resize along it, convert YUV to RGB -> rounded to bytes -> turned, padded -> picture

Both passes are products with banded matrices in 8 bits, cut into blocks, so that almost no product is with zero. Packed
frames in TFLite take the passes in the other order (strided.py).
Rotation only changes the matrices and the last transposition. Rounding between the passes and after them is what
Pillow does, to luma and chroma instead of red, green and blue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError
from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import CHANNELS, FrameForm
from edgefeat._images.frames.pixels import BLACK
from edgefeat_export._convert.frames.colors import SHARED, SINGLE, ColorMatrix, color_matrix
from edgefeat_export._convert.frames.filters import axes

__all__ = ["Block", "FramePlan", "Section", "blocks", "enlarged", "flipped", "plan_frame"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the frame's bytes, `rows` x `row_bytes` from byte `start`, and the first pass over its rows.

    `weights` (planes, resized, row_bytes) give a row of each plane: red, green and blue, or gray, or luma, or chroma.
    Each of them sums to 1. For each plane, `black` is subtracted from the result, and 0 is what is left below it.
    """

    start: int
    rows: int
    row_bytes: int
    weights: Array
    black: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FramePlan:
    """The sections of the first pass, the second pass, and the end.

    `along` (resized, width of the frame) and `down` (resized, height) resize its rows and its columns. The second pass
    is `down` for each plane of RGB and gray. For YUV it is `colors`, whose lines are the rows of all planes, group by
    group. `turned` says that the rows of the frame become columns. `padding` is before and after, for height and width.
    """

    form: FrameForm
    sections: tuple[Section, ...]
    along: Array
    down: Array
    colors: ColorMatrix | None
    turned: bool
    padding: tuple[tuple[int, int], tuple[int, int]]

    @property
    def planes(self) -> int:
        """The number of colours of the picture before gray is repeated."""
        return 1 if self.form.format == "gray" else 3

    @property
    def across(self) -> int:
        """The number of resized pixels along a row of the frame."""
        return int(self.sections[0].weights.shape[1])

    @property
    def groups(self) -> int:
        """The number of groups of lines of a YUV frame."""
        return self.form.height if self.form.format == "yuyv" else self.form.height // 2


@dataclass(frozen=True, slots=True)
class Block:
    """Some resized pixels: their `weights` (planes, resized, window) on the bytes or rows from `first` to `last`."""

    first: int
    last: int
    weights: Array


def blocks(weights: Array, size: int) -> Iterator[Block]:
    """Yield `weights` (planes, resized, source) in blocks of up to `size` resized pixels, without the zeros around."""
    for begin in range(0, weights.shape[1], size):
        block = weights[:, begin : begin + size]
        (used,) = np.nonzero(block.any(axis=(0, 1)))
        first, last = int(used[0]), int(used[-1]) + 1
        yield Block(first, last, block[:, :, first:last])


def enlarged(form: FrameForm, picture: PictureForm) -> str | None:
    """Return the note for a frame that is smaller than the picture, or None.

    Raises ArgumentError for a frame that is the picture already.
    """
    width, height = form.upright
    if (form.format, form.rotation, width, height) == ("rgb", 0, picture.width, picture.height):
        raise ArgumentError(
            f"frame {form.name} is the model's own input (allowed: another size or format): leave --frame out"
        )
    if width >= picture.width and height >= picture.height:
        return None
    return (
        f"frame {form.name} is smaller than the model's input, {picture.width}x{picture.height}, and is enlarged: "
        "a larger frame has more detail"
    )


def flipped(form: FrameForm) -> bool:
    """Return whether the frame's rows are taken from the last to the first."""
    return form.rotation in (90, 180)


def plan_frame(form: FrameForm, picture: PictureForm) -> FramePlan:
    """Return the plan from a frame to the picture."""
    horizontal, vertical = axes(form.upright, picture)
    turned = form.rotation in (90, 270)
    along, down = (vertical.weights, horizontal.weights) if turned else (horizontal.weights, vertical.weights)
    # Clockwise by 90 degrees, a column of the frame becomes a row, and rows from bottom to top its columns.
    along = along[:, ::-1] if form.rotation in (180, 270) else along
    down = down[:, ::-1] if flipped(form) else down
    sections = _yuv(form, along) if form.is_yuv else (_packed(form, along),)
    return FramePlan(
        form=form,
        sections=sections,
        along=along,
        down=down,
        colors=color_matrix(form, down, SINGLE if form.format == "yuyv" else SHARED) if form.is_yuv else None,
        turned=turned,
        padding=((vertical.before, vertical.after), (horizontal.before, horizontal.after)),
    )


def _packed(form: FrameForm, along: Array) -> Section:
    """Return the section of a format whose bytes are red, green and blue, or gray."""
    order = {"rgb": (0, 1, 2), "rgba": (0, 1, 2), "bgr": (2, 1, 0), "bgra": (2, 1, 0), "gray": (0,)}[form.format]
    step = CHANNELS[form.format]
    weights = np.stack([_spread(along, place, step) for place in order])
    return Section(0, form.height, form.width * step, weights, (0,) * len(order))


def _yuv(form: FrameForm, along: Array) -> tuple[Section, ...]:
    """Return the sections of luma and of chroma; U comes before V."""
    width, height, pixels = form.width, form.height, form.width * form.height
    # Two neighbours share their chroma, so its weight is the sum of both.
    shared = along[:, 0::2] + along[:, 1::2]
    black = 0 if form.color.endswith("-full") else BLACK
    if form.format == "yuyv":
        planes = np.stack([_spread(along, 0, 2), _spread(shared, 1, 4), _spread(shared, 3, 4)])
        return (Section(0, height, 2 * width, planes, (black, 0, 0)),)
    luma, half = Section(0, height, width, along[np.newaxis], (black,)), height // 2
    if form.format == "i420":
        starts = (pixels, pixels + pixels // 4)
        return (luma, *(Section(start, half, width // 2, shared[np.newaxis], (0,)) for start in starts))
    order = (1, 0) if form.format == "nv21" else (0, 1)
    pairs = np.stack([_spread(shared, place, 2) for place in order])
    return luma, Section(pixels, half, width, pairs, (0, 0))


def _spread(weights: Array, place: int, step: int) -> Array:
    """Return weights (resized, pixels) on bytes: each pixel has `step` of them, and counts the one at `place`."""
    spread = np.zeros((len(weights), weights.shape[1] * step))
    spread[:, place::step] = weights
    return spread
