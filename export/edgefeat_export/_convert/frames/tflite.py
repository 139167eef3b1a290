"""Put a frame in front of a TFLite file of any precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.colors import SHARED, ColorMatrix, U, color_matrix
from edgefeat_export._convert.frames.filters import byte_weights
from edgefeat_export._convert.frames.operators import BYTES, Builder
from edgefeat_export._convert.frames.plan import FramePlan, Section, blocks
from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["with_frame"]

#: Resized pixels in a block of the first and of the second pass, by the number of planes in it; the second makes three
#: of YUV. Measured with LiteRT on frames of 640x480 and 1280x720: smaller blocks are more operators, larger
#: ones more products with zero.
_ACROSS = {1: 32, 2: 16, 3: 16}
_DOWN = {1: 32, 3: 8}
#: The most inputs of a concatenation in TensorFlow Lite Micro, which runs files without floats.
_MICRO_JOINED = 10


def with_frame(source: Path, plan: FramePlan, output: Path) -> None:
    """Write the TFLite file `source`, whose input is a prepared image, with the frame of `plan` as its input.

    All weights of the file stay as they are, and all operators but the first, if it only converts the image's type.
    The frame's operators are standard ones that XNNPACK runs; its int8 products are the fastest that processors have,
    and TFLite has them for int8 only. So the frame passes through float on its way from uint8, part by part, which is
    faster than the direct way. A file without floats gets the direct way, or none if its input is int8.
    """
    model = flatbuffer.read(source)
    names = flatbuffer.taps(model)
    (graph,) = model.subgraphs
    picture = int(graph.inputs[0])
    own, graph.operators = graph.operators, []
    builder = Builder(model)
    graph.tensors[picture].name = b"edgefeat/picture"
    kind = builder.kind(picture)
    frame = builder.tensor([1, *plan.form.shape], kind, zero=BYTES if kind is np.int8 else 0)
    levels = builder.levels_of(own, picture)
    if levels is None:
        _feed(builder, own, picture, _picture(builder, frame, plan, BYTES))
    else:
        builder.most_joined = _MICRO_JOINED
        # Pixels less the level that the network takes for 0: the same bytes, with another zero point.
        signed = frame if levels == picture else builder.converted(frame, np.int8)
        builder.replace(own, levels, _picture(builder, signed, plan, builder.zero(levels)))
    graph.operators = [*graph.operators, *own]
    graph.inputs = [frame]
    flatbuffer.label(model, names)
    output.write_bytes(flatbuffer.serialize(model))


def _feed(builder: Builder, operators: list[Any], picture: int, result: int) -> None:
    """Let the network's `operators` read the int8 `result` instead of the uint8 `picture`, in place.

    Each network begins by casting the picture to float, which DEQUANTIZE also does, and faster.
    """
    readers = [one for one in operators if picture in list(one.inputs)]
    casts = [one for one in readers if builder.is_cast_to_float(one)]
    if len(casts) < len(readers):
        builder.rename_last(builder.converted(result, np.uint8), picture)
        return
    floats = builder.converted(result, np.float32)
    for cast in casts:
        (old,) = cast.outputs
        operators.remove(cast)
        builder.replace(operators, int(old), floats)


def _picture(builder: Builder, levels: int, plan: FramePlan, zero: int) -> int:
    """Add the operators from the frame to the picture, int8 (1, height, width, 3), and return its tensor.

    A level of 0 is -128 in all tensors. `zero` is the zero point of the last ones, for who reads them.
    """
    size, across, planes = len(plan.down), plan.across, plan.planes
    if plan.colors is None:
        result = _packed(builder, levels, plan, zero)
    elif plan.form.format == "yuyv":
        result = _pairs(builder, levels, plan, zero)
    else:
        columns = builder.transpose(_lines(builder, levels, plan, plan.colors), [1, 0])
        result = _converted(builder, columns, plan.colors, zero)
    if plan.colors is None:
        # The planes of a pixel are neighbours along the frame's rows, and have to be again in the picture.
        kept = [across * planes, size] if not plan.turned else [across, planes, size]
        result = builder.transpose(builder.reshape(result, kept), [0, 2, 1] if plan.turned else [1, 0])
    elif plan.turned == (plan.form.format == "yuyv"):
        sides = [size, across] if plan.turned else [across, size]
        result = builder.transpose(builder.reshape(result, [*sides, planes]), [1, 0, 2])
    height, width = (across, size) if plan.turned else (size, across)
    result = builder.reshape(result, [1, height, width, planes])
    if planes == 1:
        result = builder.concatenated([result] * 3, 3)
    (above, below), (left, right) = plan.padding
    if any((above, below, left, right)):
        result = builder.pad(result, [[0, 0], [above, below], [left, right], [0, 0]])
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
    whole = builder.reshape(levels, [form.shape[0], row])
    sections: list[int] = []
    for section in plan.sections:
        rows, start = whole, section.start
        if section.row_bytes != row:  # the half rows of I420's chroma
            rows = builder.reshape(builder.window(whole, form.height, form.shape[0], 0, row), [form.height, row // 2])
            start -= form.height * row
        planes = _section(builder, rows, start // section.row_bytes, section)
        sections.append(builder.reshape(planes, [plan.groups, -1, plan.across]))
    luma, *chroma = sections
    lines = builder.concatenated([luma, *chroma * colors.group.count(U)], 1)
    return builder.reshape(lines, [plan.groups * len(colors.group), plan.across])


def _section(builder: Builder, rows: int, first: int, section: Section) -> int:
    """Return the first pass of a section: (rows, planes, resized).

    It begins at the row `first` of `rows`, or has every second one from there if `rows` are pairs.
    """
    planes, size, _ = section.weights.shape
    whole, total = byte_weights(section.weights.reshape(planes * size, -1), grid.LEVELS)
    parts = []
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS[planes]):
        if len(builder.shape(rows)) == 3:
            part = builder.slice(rows, [0, first, block.first], [section.rows, 1, block.last - block.first])
        else:
            part = builder.window(rows, first, first + section.rows, block.first, block.last)
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
