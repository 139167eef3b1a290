"""A frame's resize in ONNX that begins with its columns: for every frame whose weights repeat.

Measured with ONNX Runtime and frames of 640x480 and 1280x720, against two dense products: on x86 packed formats take
less time, NV12, NV21 and I420 as much; RGB, RGBA, YUYV and NV21 take fewer instructions on a Cortex-A72 and a
Cortex-A76. With WebAssembly in Node it is slower: 2 ms of 12 for RGBA of 640x480.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.filters import whole_weights
from edgefeat_export._convert.frames.onnx.nodes import MIDDLE, Builder
from edgefeat_export._convert.frames.onnx.order import in_order, joined, matrix
from edgefeat_export._convert.frames.plan import Block, FramePlan, flipped
from edgefeat_export._convert.frames.repeats import Kernel
from edgefeat_export._convert.frames.strided import Image, StridedPlan, plan_strided
from edgefeat_export._convert.graph import INPUT

__all__ = ["strided_pixels"]

#: Resized pixels in a block of the product: smaller blocks are more operators, larger ones more products with zero, of
#: which YUYV has twice as many.
_ACROSS, _ACROSS_YUYV = 16, 8


@dataclass(frozen=True, slots=True)
class _Lines:
    """An image that is resized along its columns: in the tensor `name`, (N, periods, kernels, bytes), from `offset` on.

    Only its last rows are of use.
    """

    image: Image
    name: str
    offset: int

    def window(self, builder: Builder, block: Block, size: int) -> str:
        """Return the bytes of a block in the last `size` rows: (N, periods, kernels, bytes)."""
        early, periods = self.image.down.early, size // len(self.image.down.kernels)
        sides = {1: (early, early + periods), 3: (self.offset + block.first, self.offset + block.last)}
        return builder.slices(self.name, sides)


def strided_pixels(builder: Builder, plan: FramePlan) -> str | None:
    """Return the resized pixels of the frame in the order of the picture, uint8 (N, height, width, planes).

    None stands for a frame that cannot be resized in this way.
    """
    found = plan_strided(plan, pairs=True)
    if found is None:
        return None
    # U and V of I420 are resized side by side, because each convolution costs time.
    alike = groupby(found.images, key=lambda image: image.section.rows)
    lines = [one for _, images in alike for one in _resized_down(builder, plan, [*images], found.size)]
    pixels = _resized_across(builder, plan, lines, found)
    if flipped(plan.form):
        pixels = builder.reversed(builder.reshape(pixels, [0, found.size, plan.across * plan.planes]), 1)
    return in_order(builder, plan, pixels, by_plane=plan.turned)


def _used(builder: Builder, plan: FramePlan, image: Image) -> str:
    """Return the bytes of the frame that the image uses: (N, rows, 1, bytes)."""
    section, source = image.section, INPUT
    if len(plan.sections) > 1:
        flat = builder.reshape(INPUT, [0, plan.form.size])
        source = builder.slice(flat, section.start, section.start + section.rows * section.row_bytes, 1)
    whole = builder.reshape(source, [0, section.rows, 1, section.row_bytes])
    cut = {1: (image.top, image.bottom), 3: (image.left, image.right)}
    if cut == {1: (0, section.rows), 3: (0, section.row_bytes)}:
        return whole
    return builder.slices(whole, cut)


def _resized_down(builder: Builder, plan: FramePlan, images: list[Image], size: int) -> list[_Lines]:
    """Return the images, which have as many rows, resized along their columns, less their black.

    Channels are last before and after each convolution. ONNX Runtime has convolutions for that, and removes all of
    these transpositions.
    """
    found = images[0].down
    total = int(grid.LEVELS // found.largest)
    black = np.concatenate([image.black for image in images])
    used = builder.concatenated([_used(builder, plan, image) for image in images], 3)
    channels = builder.transpose(used, [0, 3, 1, 2])

    def convolved(source: str, kernel: Kernel, padding: tuple[int, int] = (0, 0)) -> str:
        whole = whole_weights(kernel.weights[np.newaxis], total)[0].astype(np.int8)
        return builder.depthwise(source, whole, -black, scale=1 / total, stride=found.step, padding=padding)

    lines = []
    for phase in found.phases(size, images[0].bottom - images[0].top):
        made, parts = convolved(channels, phase.kernel, phase.padding), []
        for part in phase.parts:
            if isinstance(part, range):
                parts.append(builder.slice(made, part.start, part.stop, 1))
            else:
                rows = builder.slice(used, part.first, part.first + len(part.weights), 1)
                parts.append(convolved(builder.transpose(rows, [0, 3, 1, 2]), part))
        lines.append(builder.concatenated(parts, 1))
    name = builder.concatenated(lines, 2)
    offsets = accumulate((len(image.black) for image in images), initial=0)
    return [_Lines(image, name, offset) for image, offset in zip(images, offsets, strict=False)]


def _resized_across(builder: Builder, plan: FramePlan, lines: list[_Lines], strided: StridedPlan) -> str:
    """Return the lines resized along themselves, in the order that `in_order` takes.

    128 is subtracted from all bytes of YUV; for luma the zero point of the result makes up for it. uint8 times uint8 is
    exact on every processor.
    """
    zero, result = 0, 0
    if strided.colors is not None:
        zero, result = MIDDLE, int(np.rint(MIDDLE * strided.colors.luma))
    size = _ACROSS_YUYV if plan.form.format == "yuyv" else _ACROSS
    parts, pixels = [], []
    for some in zip(*(one.image.blocks(size) for one in lines), strict=True):
        windows, weights = [], []
        for one, block in zip(lines, some, strict=True):
            copies = len(one.image.weights)
            window = one.window(builder, block, strided.size)
            if len(lines) > 1:  # their periods differ
                window = builder.reshape(window, [0, strided.size, 1, block.last - block.first])
            windows += [window] * copies
            weights += [matrix(copy, by_plane=plan.turned) for copy in np.split(block.weights, copies)]
        levels = np.ascontiguousarray(np.concatenate(weights) + zero).astype(np.uint8 if zero else np.int8)
        values = builder.floats(builder.concatenated(windows, 3), zero)
        product = builder.node("MatMul", [values, builder.weights(levels, strided.unit, zero)])
        parts.append(builder.rounded(product, result))
        pixels.append(some[0].weights.shape[1])
    return joined(builder, parts, pixels, strided.size, plan.planes, by_plane=plan.turned)
