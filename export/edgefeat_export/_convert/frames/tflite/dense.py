"""A frame's resize in TFLite as two dense products, along its rows and along its columns: for every frame and file."""

from __future__ import annotations

import numpy as np

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.colors import SHARED, ColorMatrix, U, color_matrix
from edgefeat_export._convert.frames.filters import byte_weights
from edgefeat_export._convert.frames.plan import FramePlan, Section, blocks
from edgefeat_export._convert.frames.tflite.operators import BYTES, Builder

__all__ = ["dense_pixels"]

#: Resized pixels in a block of the first and of the second pass, by the number of planes in it; the second makes three
#: of YUV. Measured with LiteRT on frames of 640x480 and 1280x720: smaller blocks are more operators, larger
#: ones more products with zero.
_ACROSS = {1: 32, 2: 16, 3: 16}
_DOWN = {1: 32, 3: 8}


def dense_pixels(builder: Builder, levels: int, plan: FramePlan, zero: int) -> int:
    """Return the resized pixels of the frame `levels` as int8 in the order of the picture.

    A level of 0 is -128 in all tensors. `zero` is the zero point of the last ones, for who reads them.
    """
    size, across, planes = len(plan.down), plan.across, plan.planes
    if plan.colors is None:
        result = _packed(builder, levels, plan, zero)
        # The planes of a pixel are neighbours along the frame's rows, and have to be again in the picture.
        kept = [across * planes, size] if not plan.turned else [across, planes, size]
        return builder.transpose(builder.reshape(result, kept), [0, 2, 1] if plan.turned else [1, 0])
    if plan.form.format == "yuyv":
        result = _pairs(builder, levels, plan, zero)
    else:
        columns = builder.transpose(_lines(builder, levels, plan, plan.colors), [1, 0])
        result = _converted(builder, columns, plan.colors, zero)
    if plan.turned == (plan.form.format == "yuyv"):
        sides = [size, across] if plan.turned else [across, size]
        result = builder.transpose(builder.reshape(result, [*sides, planes]), [1, 0, 2])
    return result


def _packed(builder: Builder, levels: int, plan: FramePlan, zero: int) -> int:
    """Return both passes of RGB or gray: (resized across x planes, resized down)."""
    (section,) = plan.sections
    rows = builder.reshape(levels, [section.rows, section.row_bytes])
    planes, size, _ = section.weights.shape
    whole, total = byte_weights(section.weights.reshape(planes * size, -1), grid.LEVELS)
    parts = []
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS[planes]):
        window = builder.signed(builder.window(rows, 0, section.rows, block.first, block.last))
        pixels = block.weights.transpose(1, 0, 2).reshape(-1, block.last - block.first)  # plane after plane of a pixel
        parts.append(builder.dense(window, pixels.astype(np.int8), scale=1 / total))
    columns = builder.transpose(builder.concatenated(parts, 1), [1, 0])
    whole, total = byte_weights(plan.down, grid.LEVELS)
    bias = np.full(1, float(BYTES - zero))
    parts = []
    for block in blocks(whole[np.newaxis], _DOWN[1]):
        window = builder.window(columns, 0, size * planes, block.first, block.last)
        weights = block.weights[0].astype(np.int8)
        parts.append(builder.dense(window, weights, scale=1 / total, bias=bias, zero=zero))
    return builder.concatenated(parts, 1)


def _lines(builder: Builder, levels: int, plan: FramePlan, colors: ColorMatrix) -> int:
    """Return the first pass of YUV: (lines, resized), group by group; black is subtracted from luma."""
    form = plan.form
    row = form.size // form.shape[0]
    whole = builder.reshape(levels, [1, form.shape[0], row])
    sections: list[int] = []
    for section in plan.sections:
        rows, start = whole, section.start
        if section.row_bytes != row:  # the half rows of I420's chroma
            halves = builder.slice(whole, [0, form.height, 0], [1, form.height // 2, row])
            rows = builder.reshape(halves, [1, form.height, row // 2])
            start -= form.height * row
        planes = _section(builder, rows, start // section.row_bytes, section)
        sections.append(builder.reshape(planes, [plan.groups, -1, plan.across]))
    luma, *chroma = sections
    lines = builder.concatenated([luma, *chroma * colors.group.count(U)], 1)
    return builder.reshape(lines, [plan.groups * len(colors.group), plan.across])


def _section(builder: Builder, rows: int, first: int, section: Section) -> int:
    """Return the first pass of a section: (rows, planes, resized).

    It begins at the row `first` of `rows` (1, rows, bytes), or has every second one from there of (rows, 2, bytes).
    """
    planes, size, _ = section.weights.shape
    whole, total = byte_weights(section.weights.reshape(planes * size, -1), grid.LEVELS)
    parts = []
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS[planes]):
        sides = [1, section.rows] if builder.shape(rows)[0] == 1 else [section.rows, 1]
        part = builder.slice(rows, [0, first, block.first], [*sides, block.last - block.first])
        window = builder.signed(part)
        _, count, width = block.weights.shape
        bias = np.repeat(-np.array(section.black, np.float64), count)
        product = builder.dense(window, block.weights.reshape(-1, width).astype(np.int8), scale=1 / total, bias=bias)
        parts.append(builder.reshape(product, [section.rows, planes, count]) if planes > 1 else product)
    return builder.concatenated(parts, 2 if planes > 1 else 1)


def _pairs(builder: Builder, levels: int, plan: FramePlan, zero: int) -> int:
    """Return both passes of YUYV: (resized down, resized across x 3).

    It is resized along its columns first: these are luma or chroma as a whole, and along its rows, where bytes of luma
    and chroma alternate, most products would be with zero.
    """
    height, width = plan.form.height, plan.form.width
    columns = builder.transpose(builder.reshape(levels, [height, 2 * width]), [1, 0])
    columns = builder.reshape(columns, [width, 2, height])
    groups = []
    for number, black in enumerate((plan.sections[0].black[0], 0)):
        section = Section(0, width, height, plan.down[np.newaxis], (black,))
        first = _section(builder, columns, number, section)
        groups.append(builder.reshape(first, [width // 2, 2, len(plan.down)]))
    colors = color_matrix(plan.form, plan.along, SHARED)
    lines = builder.concatenated([groups[0], *groups[1:] * colors.group.count(U)], 1)
    rows = builder.transpose(builder.reshape(lines, [width // 2 * len(colors.group), len(plan.down)]), [1, 0])
    return _converted(builder, rows, colors, zero)


def _converted(builder: Builder, columns: int, colors: ColorMatrix, zero: int) -> int:
    """Return the second pass of YUV, with its conversion, of `columns` (N, lines): (N, resized x 3)."""
    parts = []
    biases = colors.bias + BYTES - zero
    for block in blocks(colors.weights, _DOWN[3]):
        window = builder.window(columns, 0, builder.shape(columns)[0], block.first, block.last)
        weights = block.weights.transpose(1, 0, 2).reshape(-1, block.last - block.first).astype(np.int8)
        bias = np.tile(biases, block.weights.shape[1])
        parts.append(builder.dense(window, weights, scale=colors.unit, bias=bias, zero=zero))
    return builder.concatenated(parts, 1)
