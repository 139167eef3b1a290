"""The plan of a resize that begins with a frame's columns: depthwise convolutions, then a dense product along the rows.

A convolution whose channels are the bytes of a row has no products with zero, and leaves the dense product 224 rows,
not 480. It needs weights that repeat (repeats.py). Which frames are faster so depends on the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.colors import LUMA, SHARED, ColorMatrix, color_matrix
from edgefeat_export._convert.frames.filters import byte_weights
from edgefeat_export._convert.frames.plan import Block, FramePlan, Section, blocks, flipped
from edgefeat_export._convert.frames.repeats import Repeats, repeats

__all__ = ["Image", "StridedPlan", "plan_strided"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Image:
    """A section of the frame, of which the rows from `top` to `bottom` and the bytes from `left` to `right` are used.

    First it is resized along its columns as `down` says, and `black` (bytes,) is subtracted; 0 is what is left below
    it. Then whole `weights` (copies, planes, resized, bytes) are its part in the product along the rows: its bytes are
    multiplied as often as there are copies, and all products added.
    """

    section: Section
    top: int
    bottom: int
    left: int
    right: int
    down: Repeats
    black: Array
    weights: Array

    def blocks(self, size: int) -> Iterator[Block]:
        """Yield the weights, (copies x planes, resized, window), in blocks of up to `size` resized pixels."""
        return blocks(self.weights.reshape(-1, *self.weights.shape[2:]), size)


@dataclass(frozen=True, slots=True)
class StridedPlan:
    """The images of a frame, whose products along the rows are added; each weight of them is `unit`.

    There are `size` resized rows, from the top of the frame to its bottom. YUV is converted by the product, `colors`.
    """

    images: tuple[Image, ...]
    size: int
    unit: float
    colors: ColorMatrix | None


def plan_strided(plan: FramePlan, *, pairs: bool) -> StridedPlan | None:
    """Return the plan, or None for a frame whose weights do not repeat; `pairs` is that of `byte_weights`."""
    # Convolutions go from the first row to the last; what they made is flipped at the end.
    down = plan.down[::-1] if flipped(plan.form) else plan.down
    images = []
    products, unit, colors = _products(plan, pairs=pairs)
    for section, weights in zip(plan.sections, products, strict=True):
        # Two rows of pixels share one of chroma.
        own = down.reshape(len(down), section.rows, -1).sum(axis=2)
        top, bottom = _used(own, 1)
        found = repeats(own[:, top:bottom])
        if found is None:
            return None
        left, right = _used(weights, _step(plan))
        black = _black(plan, section)[left:right]
        images.append(Image(section, top, bottom, left, right, found, black, weights[..., left:right]))
    return StridedPlan(tuple(images), len(down), unit, colors)


def _step(plan: FramePlan) -> int:
    """Return the number of bytes of a row that are not separated: pixels, or two of YUYV, which share their chroma."""
    channels = int(np.prod(plan.form.shape[2:]))
    return 2 * channels if plan.form.is_yuv else channels


def _used(weights: Array, multiple: int) -> tuple[int, int]:
    """Return multiples around all sources (..., source) that have weights: a crop leaves some out."""
    (used,) = np.nonzero(weights.any(axis=tuple(range(weights.ndim - 1))))
    return int(used[0]) // multiple * multiple, (int(used[-1]) // multiple + 1) * multiple


def _black(plan: FramePlan, section: Section) -> Array:
    """Return what is subtracted from each byte of a row of the section."""
    # Every second byte of YUYV is luma; the other sections are luma or chroma as a whole.
    own = [section.black[0], 0] if plan.form.format == "yuyv" else [section.black[0]]
    return np.resize(own, section.row_bytes).astype(np.float64)


def _products(plan: FramePlan, *, pairs: bool) -> tuple[tuple[Array, ...], float, ColorMatrix | None]:
    """Return the weights of each section (copies, planes, resized, bytes), what one of them is, and the colours."""
    if not plan.form.is_yuv:
        (section,) = plan.sections
        planes, size, width = section.weights.shape
        whole, total = byte_weights(section.weights.reshape(planes * size, width), grid.LEVELS, pairs=pairs)
        return (whole.reshape(1, planes, size, width),), 1 / total, None
    colors = color_matrix(plan.form, plan.along, SHARED)
    groups = colors.weights.reshape(3, plan.across, -1, len(colors.group))
    is_luma = np.array(colors.group) == LUMA
    luma = groups[..., is_luma]
    # The two copies of U and V of a group.
    chroma = np.moveaxis(groups[..., ~is_luma].reshape(*groups.shape[:3], 2, 2), 3, 0)
    copies, pixels = len(chroma), (3, plan.across, -1)
    if plan.form.format == "yuyv":  # the bytes of two pixels: Y, U, Y, V
        weights = np.zeros((copies, *groups.shape[:3], 4))
        weights[0, ..., 0::2] = luma
        weights[..., 1::2] = chroma
        return (weights.reshape(copies, *pixels),), colors.unit, colors
    bright = luma.reshape(1, *pixels)
    if plan.form.format == "i420":
        return (bright, chroma[..., 0], chroma[..., 1]), colors.unit, colors
    order = chroma[..., ::-1] if plan.form.format == "nv21" else chroma
    return (bright, order.reshape(copies, *pixels)), colors.unit, colors
