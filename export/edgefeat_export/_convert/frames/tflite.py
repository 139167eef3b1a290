"""Put a frame in front of a TFLite file of any precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.colors import ColorMatrix, U
from edgefeat_export._convert.frames.filters import byte_weights
from edgefeat_export._convert.frames.operators import BYTES, Builder
from edgefeat_export._convert.frames.plan import FramePlan, Section, blocks
from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["with_frame"]

#: Resized pixels in a block of the first and of the second pass. Measured with LiteRT on frames of 640x480 and
#: 1280x720: smaller blocks are more operators, larger ones more products with zero.
_ACROSS, _DOWN = 32, 32


def with_frame(source: Path, plan: FramePlan, output: Path) -> None:
    """Write the TFLite file `source`, whose input is a prepared image, with the frame of `plan` as its input.

    All weights of the file stay as they are, and all operators but the first, if it only converts the image's type.
    The frame's operators are standard ones that XNNPACK runs; its int8 products are the fastest that processors have,
    and TFLite has them for int8 only. So the frame passes through float on its way from uint8, which is faster than
    the direct way. A file without floats gets the direct way, or none if its input is int8.
    """
    model = flatbuffer.read(source)
    names = flatbuffer.taps(model)
    (graph,) = model.subgraphs
    picture = int(graph.inputs[0])
    own, graph.operators = graph.operators, []
    builder = Builder(model)
    graph.tensors[picture].name = b"edgefeat/picture"
    frame = builder.tensor([1, *plan.form.shape], builder.kind(picture), zero=builder.zero(picture))
    levels = builder.levels_of(own, picture)
    if levels is None:
        floats = builder.converted(frame, np.float32)
        _feed(builder, own, picture, _picture(builder, builder.converted(floats, np.int8), plan, BYTES))
    else:
        # Pixels less the level that the network takes for 0: the same bytes, with another zero point.
        signed = frame if levels == picture else builder.converted(frame, np.int8)
        builder.relabel(signed, BYTES)
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
    """Add the operators from the frame, int8, to the picture, int8 (1, height, width, 3), and return its tensor.

    A level of 0 is -128 in all tensors. `zero` is the zero point of the last ones, for who reads them.
    """
    size, across, planes = len(plan.down), plan.across, plan.planes
    if plan.colors is None:
        result = _packed(builder, levels, plan, zero)
    else:
        columns = builder.transpose(_lines(builder, levels, plan, plan.colors), [1, 0])
        result = _converted(builder, columns, plan, plan.colors, zero)
    if plan.turned and plan.colors is None:
        result = builder.transpose(builder.reshape(result, [across, planes, size]), [0, 2, 1])
    elif not plan.turned:
        result = builder.transpose(builder.reshape(result, [across * planes, size]), [1, 0])
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
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS // 2 if planes > 1 else _ACROSS):
        window = builder.window(rows, 0, section.rows, block.first, block.last)
        pixels = block.weights.transpose(1, 0, 2).reshape(-1, block.last - block.first)  # plane after plane of a pixel
        parts.append(builder.dense(window, pixels.astype(np.int8), scale=1 / total))
    columns = builder.transpose(builder.concatenated(parts, 1), [1, 0])
    whole, total = byte_weights(plan.down, grid.LEVELS)
    bias = np.full(1, float(BYTES - zero))
    parts = []
    for block in blocks(whole[np.newaxis], _DOWN):
        window = builder.window(columns, 0, size * planes, block.first, block.last)
        weights = block.weights[0].astype(np.int8)
        parts.append(builder.dense(window, weights, scale=1 / total, bias=bias, zero=zero))
    return builder.concatenated(parts, 1)


def _lines(builder: Builder, levels: int, plan: FramePlan, colors: ColorMatrix) -> int:
    """Return the first pass of YUV: (lines, resized), group by group. Black is the zero of luma and chroma."""
    form = plan.form
    row = form.size // form.shape[0]
    whole = halves = builder.reshape(levels, [form.shape[0], row])
    if form.format == "i420":
        chroma = builder.window(whole, form.height, form.shape[0], 0, row)
        halves = builder.reshape(chroma, [form.height, row // 2])
    kinds: list[int] = []
    for section in plan.sections:
        start = section.start - (0 if section.row_bytes == row else row * form.height)
        kinds += _section(builder, whole if section.row_bytes == row else halves, start, section, colors.black)
    counts = [builder.shape(one)[0] // plan.groups for one in kinds]
    grouped = zip(kinds, counts, strict=True)
    luma, *rest = (builder.reshape(one, [plan.groups, count, plan.across]) for one, count in grouped)
    lines = builder.concatenated([luma, *rest * colors.group.count(U)], 1)
    return builder.reshape(lines, [plan.groups * len(colors.group), plan.across])


def _section(builder: Builder, rows: int, start: int, section: Section, black: int) -> list[int]:
    """Return the first pass of a section from byte `start` of `rows`: for each of its planes (rows, resized)."""
    planes, size, _ = section.weights.shape
    whole, total = byte_weights(section.weights.reshape(planes * size, -1), grid.LEVELS)
    parts: list[list[int]] = [[] for _ in range(planes)]
    first = start // section.row_bytes
    bias = np.full(1, -float(black)) if black else None
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS):
        window = builder.window(rows, first, first + section.rows, block.first, block.last)
        for part, weights in zip(parts, block.weights.astype(np.int8), strict=True):
            positive = section.black > 0
            product = builder.dense(window, weights, scale=1 / total, bias=bias, zero=BYTES + black, positive=positive)
            part.append(product)
    return [builder.concatenated(part, 1) for part in parts]


def _converted(builder: Builder, columns: int, plan: FramePlan, colors: ColorMatrix, zero: int) -> int:
    """Return the second pass of YUV, with its conversion: (across, 3 x resized), or (across, resized x 3) if turned."""
    parts: list[list[int]] = [[], [], []]
    biases = colors.bias(colors.black) + BYTES - zero
    for block in blocks(colors.weights, _DOWN):
        window = builder.window(columns, 0, plan.across, block.first, block.last)
        if plan.turned:
            weights = block.weights.transpose(1, 0, 2).reshape(-1, block.last - block.first).astype(np.int8)
            bias = np.tile(biases, block.weights.shape[1])
            parts[0].append(builder.dense(window, weights, scale=colors.unit, bias=bias, zero=zero))
            continue
        for part, weights, bias in zip(parts, block.weights.astype(np.int8), biases, strict=True):
            part.append(builder.dense(window, weights, scale=colors.unit, bias=np.full(1, bias), zero=zero))
    return builder.concatenated([one for part in parts for one in part], 1)
