"""A packed frame's resize in TFLite that begins with its columns.

NV12, NV21 and I420 are as fast with two dense products. Measured with LiteRT and frames of 640x480 and 1280x720, in
time on x86, in instructions on a Cortex-A72 and a Cortex-A76.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._convert.frames.filters import whole_weights
from edgefeat_export._convert.frames.plan import FramePlan, flipped
from edgefeat_export._convert.frames.repeats import Kernel, Repeats
from edgefeat_export._convert.frames.strided import StridedPlan, plan_strided
from edgefeat_export._convert.frames.tflite.operators import Builder

__all__ = ["strided_pixels"]

Array = NDArray[np.float64]

#: Resized pixels in a block of the product: smaller blocks are more operators, larger ones more products with zero.
_ACROSS = 16
_MOST_UINT8 = 255


def strided_pixels(builder: Builder, levels: int, plan: FramePlan) -> int | None:
    """Return the resized pixels of the frame `levels`, uint8, as int8 in the order of the picture.

    None stands for a frame that cannot be resized in this way, or not faster.
    """
    found = plan_strided(plan, pairs=False) if len(plan.sections) == 1 else None
    if found is None:
        return None
    (image,) = found.images
    step = builder.shape(levels)[3]
    first, last = image.left // step, image.right // step
    rows, width = image.bottom - image.top, image.right - image.left
    used = builder.slice(levels, [0, image.top, first, 0], [1, rows, last - first, step])
    used = builder.reshape(used, [1, rows, 1, width])
    lines = _resized_down(builder, used, image.down, found.size, image.black)
    pixels = _resized_across(builder, lines, found)
    if flipped(plan.form):
        pixels = builder.flipped(pixels)
    if plan.turned:
        pixels = builder.transpose(builder.reshape(pixels, [found.size, plan.across, plan.planes]), [1, 0, 2])
    return pixels


def _resized_down(builder: Builder, image: int, found: Repeats, size: int, black: Array) -> int:
    """Return `image` (1, height, 1, bytes) resized along its columns less `black`: uint8 (1, periods, kernels, bytes).

    Only its last `size` rows are of use. XNNPACK does not write padding to memory. Nothing is reshaped, because XNNPACK
    copies what is.
    """
    _, height, _, width = builder.shape(image)
    total = int(_MOST_UINT8 // found.largest)
    bias = builder.bias(-black, 1 / total)

    def convolved(top: int, bottom: int, kernel: Kernel, padding: tuple[int, int] = (0, 0)) -> int:
        part = builder.slice(image, [0, top, 0, 0], [1, bottom - top, 1, width])
        padded = builder.pad(part, [[0, 0], padding, [0, 0], [0, 0]]) if any(padding) else part
        whole = whole_weights(kernel.weights[np.newaxis], total)[0].astype(np.uint8)
        return builder.depthwise(padded, whole, stride=found.step, scale=1 / total, bias=bias)

    lines = []
    for phase in found.phases(size, height):
        made = convolved(0, height, phase.kernel, phase.padding)
        parts = [
            builder.slice(made, [0, part.start, 0, 0], [1, len(part), 1, width])
            if isinstance(part, range)
            else convolved(part.first, part.first + len(part.weights), part)
            for part in phase.parts
        ]
        lines.append(builder.concatenated(parts, 1))
    return builder.concatenated(lines, 2)


def _resized_across(builder: Builder, lines: int, plan: StridedPlan) -> int:
    """Return the last `plan.size` rows of `lines` resized along themselves: int8 (size, resized x planes)."""
    _, count, period, _ = builder.shape(lines)
    periods = plan.size // period
    (image,) = plan.images
    copies, planes, _, _ = image.weights.shape
    biases = np.zeros(planes) if plan.colors is None else plan.colors.bias
    parts = []
    for block in image.blocks(_ACROSS):
        part = [1, periods, period, block.last - block.first]
        window = builder.signed(builder.slice(lines, [0, count - periods, 0, block.first], part))
        window = builder.concatenated([window] * copies, 3)
        pixels = block.weights.shape[1]
        weights = block.weights.reshape(copies, planes, pixels, -1).transpose(2, 1, 0, 3).reshape(pixels * planes, -1)
        bias = np.tile(biases, pixels)
        parts.append(builder.dense(window, weights.astype(np.int8), scale=plan.unit, bias=bias))
    return builder.concatenated(parts, 1)
