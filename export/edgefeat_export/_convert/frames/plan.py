"""The plan of a frame's way into a network: which bytes contribute to which pixels, independent of the file format.

    bytes -> pass over each row: resize along it, separate the colours, convert YUV to RGB -> rounded to uint8
          -> pass over each column: resize -> rounded to uint8 -> turned, padded -> the picture

Both passes are products with banded matrices, cut into blocks, so that almost no product is with zero. Rotation only
changes the matrices and the last transposition. Rounding between the passes and after them is what Pillow does, and
YUV is converted between the passes because that is where RGB is first rounded: converted at the end, or with 8-bit
weights before, features of sensitive networks moved by more than 0.0005.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError
from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import CHANNELS, FrameForm
from edgefeat._images.frames.pixels import BLACK, matrix
from edgefeat_export._convert.frames.filters import axes

__all__ = ["Block", "FramePlan", "Section", "blocks", "enlarged", "plan_frame"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the frame's bytes, `rows` x `row_bytes` from byte `start`, and what it adds to the pass over the rows.

    `weights` (planes, resized, row_bytes) and `bias` (planes,) give for each row its contribution to red, green and
    blue, or to all three if there is one plane. Each row stands for `repeat` rows of the frame. If `positive`,
    contributions below 0 count as 0: luma below black, which is black in OpenCV as well. YUYV counts as all luma, then
    all chroma: see `separated` of the plan.
    """

    start: int
    rows: int
    row_bytes: int
    repeat: int
    weights: Array
    bias: Array
    positive: bool = False


@dataclass(frozen=True, slots=True)
class FramePlan:
    """The sections, the matrix `down` (resized, height of the frame) of the second pass, and the end.

    `rounded` says that the first pass is done in bytes: RGB and gray, whose planes are only separated. The result of
    both passes is (planes, along rows, along columns); `turned` says that the first is the picture's height.
    `padding` is before and after, for height and width.
    """

    form: FrameForm
    sections: tuple[Section, ...]
    planes: int
    down: Array
    turned: bool
    padding: tuple[tuple[int, int], tuple[int, int]]

    @property
    def rounded(self) -> bool:
        """Whether the first pass is done in bytes, not in float."""
        return not self.form.is_yuv

    @property
    def separated(self) -> bool:
        """Whether luma and chroma, which alternate, have to be separated first."""
        return self.form.format == "yuyv"

    @property
    def across(self) -> int:
        """The number of resized pixels along a row of the frame."""
        return int(self.sections[0].weights.shape[1])


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


def plan_frame(form: FrameForm, picture: PictureForm) -> FramePlan:
    """Return the plan from a frame to the picture."""
    horizontal, vertical = axes(form.upright, picture)
    turned = form.rotation in (90, 270)
    along, down = (vertical.weights, horizontal.weights) if turned else (horizontal.weights, vertical.weights)
    # Clockwise by 90 degrees, a column of the frame becomes a row, and rows from bottom to top its columns.
    along = along[:, ::-1] if form.rotation in (180, 270) else along
    down = down[:, ::-1] if form.rotation in (90, 180) else down
    sections = _yuv(form, along) if form.is_yuv else (_packed(form, along),)
    return FramePlan(
        form=form,
        sections=sections,
        planes=1 if form.format == "gray" else 3,
        down=down,
        turned=turned,
        padding=((vertical.before, vertical.after), (horizontal.before, horizontal.after)),
    )


def _packed(form: FrameForm, along: Array) -> Section:
    """Return the section of a format whose bytes are red, green and blue, or gray."""
    order = {"rgb": (0, 1, 2), "rgba": (0, 1, 2), "bgr": (2, 1, 0), "bgra": (2, 1, 0), "gray": (0,)}[form.format]
    step = CHANNELS[form.format]
    weights = np.stack([_spread(along, place, step) for place in order])
    return Section(0, form.height, form.width * step, 1, weights, np.zeros(len(weights)))


def _yuv(form: FrameForm, along: Array) -> tuple[Section, ...]:
    colors, bias = matrix(form.color)
    width, height, pixels = form.width, form.height, form.width * form.height
    # Two neighbours share their chroma, so its weight is the sum of both.
    shared = along[:, 0::2] + along[:, 1::2]
    limited = not form.color.endswith("-full")
    # All three rows of the matrix have the same weight for luma.
    scale, black = colors[0, 0], np.array([-BLACK * colors[0, 0] if limited else 0.0])
    bias = bias - black
    luma = Section(0, height, width, 1, scale * along[np.newaxis], black, positive=limited)
    half = height // 2
    if form.format == "i420":
        u, v = (_colored(colors[:, index], shared) for index in (1, 2))
        return (
            luma,
            Section(pixels, half, width // 2, 2, u, bias),
            Section(pixels + pixels // 4, half, width // 2, 2, v, np.zeros(3)),
        )
    first, second = (2, 1) if form.format == "nv21" else (1, 2)
    pairs = _colored(colors[:, first], _spread(shared, 0, 2)) + _colored(colors[:, second], _spread(shared, 1, 2))
    if form.format == "yuyv":
        return luma, Section(pixels, height, width, 1, pairs, bias)
    return luma, Section(pixels, half, width, 2, pairs, bias)


def _spread(weights: Array, place: int, step: int) -> Array:
    """Return weights (resized, pixels) on bytes: each pixel has `step` of them, and counts the one at `place`."""
    spread = np.zeros((len(weights), weights.shape[1] * step))
    spread[:, place::step] = weights
    return spread


def _colored(color: Array, weights: Array) -> Array:
    """Return weights (resized, bytes) times the color's share (3,) in red, green and blue: (3, resized, bytes)."""
    return np.asarray(color[:, np.newaxis, np.newaxis] * weights)
