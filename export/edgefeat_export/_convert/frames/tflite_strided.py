"""A frame's resize in TFLite that begins with its columns: depthwise convolutions, then a dense product along the rows.

A convolution whose channels are the bytes of a row has no products with zero and takes uint8 as it is, and leaves the
dense product 224 rows, not 480. It needs weights that repeat (repeats.py) and rows that are all alike, as those of
packed formats; NV12, NV21 and I420 are as fast with two dense products. Measured with LiteRT and frames of 640x480 and
1280x720, in time on x86, in instructions on a Cortex-A72 and a Cortex-A76.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.colors import LUMA, SHARED, color_matrix
from edgefeat_export._convert.frames.filters import byte_weights, whole_weights
from edgefeat_export._convert.frames.operators import Builder
from edgefeat_export._convert.frames.plan import FramePlan, blocks, flipped
from edgefeat_export._convert.frames.repeats import Kernel, Repeats, repeats

__all__ = ["strided_pixels"]

Array = NDArray[np.float64]

#: Resized pixels in a block of the product: smaller blocks are more operators, larger ones more products with zero.
_ACROSS = 16
_MOST_UINT8 = 255


@dataclass(frozen=True, slots=True)
class _Product:
    """The product along rows: whole `weights` (copies, planes, resized, bytes), each of them `unit`; `bias` (planes,).

    The bytes of a row are multiplied as often as there are copies, and all products added.
    """

    weights: Array
    unit: float
    bias: Array

    def cut(self, first: int, last: int) -> _Product:
        return replace(self, weights=self.weights[..., first:last])


def strided_pixels(builder: Builder, levels: int, plan: FramePlan) -> int | None:
    """Return the resized pixels of the frame `levels`, uint8, as int8 in the order of the picture.

    None stands for a frame that cannot be resized in this way, or not faster.
    """
    if len(plan.sections) > 1:
        return None
    # Convolutions go from the first row to the last; what they made is flipped at the end.
    down = plan.down[::-1] if flipped(plan.form) else plan.down
    top, bottom = _used(down, 1)
    found = repeats(down[:, top:bottom])
    if found is None:
        return None
    product = _product(plan)
    step = builder.shape(levels)[3]
    # Two pixels of YUYV share their chroma.
    left, right = _used(product.weights, 2 * step if plan.form.is_yuv else step)
    image = builder.slice(levels, [0, top, left // step, 0], [1, bottom - top, (right - left) // step, step])
    image = builder.reshape(image, [1, bottom - top, 1, right - left])
    lines = _resized_down(builder, image, found, len(down), _black(plan)[left:right])
    pixels = _resized_across(builder, lines, len(down), product.cut(left, right))
    if flipped(plan.form):
        pixels = builder.flipped(pixels)
    if plan.turned:
        pixels = builder.transpose(builder.reshape(pixels, [len(down), plan.across, plan.planes]), [1, 0, 2])
    return pixels


def _used(weights: Array, multiple: int) -> tuple[int, int]:
    """Return multiples around all sources (..., source) that have weights: a crop leaves some out."""
    (used,) = np.nonzero(weights.any(axis=tuple(range(weights.ndim - 1))))
    return int(used[0]) // multiple * multiple, (int(used[-1]) // multiple + 1) * multiple


def _black(plan: FramePlan) -> NDArray[np.float64]:
    """Return what is subtracted from each byte of a row."""
    (section,) = plan.sections
    # YUYV alone has a level of black; every second byte is luma.
    return np.resize([section.black[0], 0] if plan.form.is_yuv else [0], section.row_bytes).astype(np.float64)


def _product(plan: FramePlan) -> _Product:
    (section,) = plan.sections
    if not plan.form.is_yuv:
        planes, size, width = section.weights.shape
        whole, total = byte_weights(section.weights.reshape(planes * size, width), grid.LEVELS)
        return _Product(whole.reshape(1, planes, size, width), 1 / total, np.zeros(planes))
    colors = color_matrix(plan.form, plan.along, SHARED)
    luma = np.array(colors.group) == LUMA
    groups = colors.weights.reshape(3, plan.across, -1, len(colors.group))
    weights = np.zeros((2, 3, plan.across, groups.shape[2], 4))  # the bytes of two pixels: Y, U, Y, V
    weights[0, ..., 0::2] = groups[..., luma]
    weights[..., 1::2] = np.moveaxis(groups[..., ~luma].reshape(*groups.shape[:3], 2, 2), 3, 0)
    return _Product(weights.reshape(2, 3, plan.across, -1), colors.unit, colors.bias)


def _resized_down(builder: Builder, image: int, found: Repeats, size: int, black: Array) -> int:
    """Return `image` (1, height, 1, bytes) resized along its columns less `black`: uint8 (1, periods, kernels, bytes).

    Only its last `size` rows are of use. A convolution for each kernel makes every `len(kernels)`-th row. It begins at
    the first row of the image, not at that of the kernel; with some rows of padding, which XNNPACK does not write to
    memory, it is there after some steps. Nothing is reshaped, because XNNPACK copies what is.
    """
    _, height, _, width = builder.shape(image)
    period, step = len(found.kernels), found.step
    early = max(0, max(-(-kernel.first // step) for kernel in found.kernels))
    end = early + size // period
    total = int(_MOST_UINT8 // max(one.weights.max() for one in (*found.kernels, *found.edges.values())))
    bias = builder.bias(-black, 1 / total)

    def convolved(top: int, bottom: int, kernel: Kernel, padding: tuple[int, int] = (0, 0)) -> int:
        part = builder.slice(image, [0, top, 0, 0], [1, bottom - top, 1, width])
        padded = builder.pad(part, [[0, 0], padding, [0, 0], [0, 0]]) if any(padding) else part
        whole = whole_weights(kernel.weights[np.newaxis], total)[0].astype(np.uint8)
        return builder.depthwise(padded, whole, stride=step, scale=1 / total, bias=bias)

    lines = []
    for phase, kernel in enumerate(found.kernels):
        last = kernel.first + step * (size // period - 1) + len(kernel.weights)
        made = convolved(0, height, kernel, (early * step - kernel.first, max(0, last - height)))
        own = {
            early + row // period: convolved(edge.first, edge.first + len(edge.weights), edge)
            for row, edge in found.edges.items()
            if row % period == phase
        }
        lines.append(_with_own(builder, made, end, own))
    return builder.concatenated(lines, 2)


def _with_own(builder: Builder, made: int, end: int, own: dict[int, int]) -> int:
    """Return the first `end` rows of `made` (1, rows, 1, bytes), those whose number is in `own` replaced."""
    parts, begin, width = [], 0, builder.shape(made)[3]
    for place in [*sorted(own), end]:
        if place > begin:
            parts.append(builder.slice(made, [0, begin, 0, 0], [1, place - begin, 1, width]))
        if place in own:
            parts.append(own[place])
        begin = place + 1
    return builder.concatenated(parts, 1)


def _resized_across(builder: Builder, lines: int, size: int, product: _Product) -> int:
    """Return the last `size` rows of `lines` resized along themselves: int8 (size, resized x planes)."""
    _, count, period, _ = builder.shape(lines)
    periods = size // period
    copies, planes, resized, width = product.weights.shape
    parts = []
    for block in blocks(product.weights.reshape(copies * planes, resized, width), _ACROSS):
        part = [1, periods, period, block.last - block.first]
        window = builder.signed(builder.slice(lines, [0, count - periods, 0, block.first], part))
        window = builder.concatenated([window] * copies, 3)
        pixels = block.weights.shape[1]
        weights = block.weights.reshape(copies, planes, pixels, -1).transpose(2, 1, 0, 3).reshape(pixels * planes, -1)
        bias = np.tile(product.bias, pixels)
        parts.append(builder.dense(window, weights.astype(np.int8), scale=product.unit, bias=bias))
    return builder.concatenated(parts, 1)
