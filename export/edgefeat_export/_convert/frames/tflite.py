"""Put a frame in front of a TFLite file of any precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.filters import byte_weights
from edgefeat_export._convert.frames.operators import Builder
from edgefeat_export._convert.frames.plan import FramePlan, blocks
from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["with_frame"]

#: Resized pixels in a block, by the number of planes, in int8 and in float. Measured with LiteRT on frames of 640x480
#: and 1920x1080: smaller blocks are more operators, larger ones more products with zero.
_BLOCK = {1: 32, 3: 16}
_FLOAT_BLOCK = {1: 16, 3: 10}


def with_frame(source: Path, plan: FramePlan, output: Path) -> None:
    """Write the TFLite file `source`, whose input is a prepared image, with the frame of `plan` as its input.

    All weights of the file stay as they are, and all operators but the cast of the image to float. The frame's
    operators are standard ones that XNNPACK runs; its int8 products are the fastest that processors have, and TFLite
    has them for int8 only, so RGB passes through float on its way from uint8.
    """
    model = flatbuffer.read(source)
    names = flatbuffer.taps(model)
    (graph,) = model.subgraphs
    picture = int(graph.inputs[0])
    graph.tensors[picture].name = b"edgefeat/picture"
    own, graph.operators = graph.operators, []
    builder = Builder(model)
    frame = builder.tensor([1, *plan.form.shape], np.uint8)
    _feed(builder, own, picture, _picture(builder, frame, plan))
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
        for one in operators:
            one.inputs = [floats if index == old else index for index in one.inputs]


def _picture(builder: Builder, frame: int, plan: FramePlan) -> int:
    """Add the operators from the frame to the picture, int8 (1, height, width, 3), and return its tensor."""
    planes, across = plan.planes, plan.across
    if plan.rounded:
        (section,) = plan.sections
        levels = builder.converted(builder.converted(frame, np.float32), np.int8)
        mixed = _bytes_product(builder, builder.reshape(levels, [section.rows, section.row_bytes]), section.weights)
    else:
        mixed = _converted(builder, frame, plan)
    columns = builder.transpose(builder.reshape(mixed, [plan.form.height, planes * across]), [1, 0])
    resized = _bytes_product(builder, columns, plan.down[np.newaxis])
    result = builder.reshape(resized, [planes, across, len(plan.down)])
    result = builder.transpose(result, [1, 2, 0] if plan.turned else [2, 1, 0])
    if planes == 1:
        result = builder.concatenated([result] * 3, 2)
    height, width, _ = builder.shape(result)
    (above, below), (left, right) = plan.padding
    result = builder.reshape(result, [1, height, width, 3])
    if any((above, below, left, right)):
        result = builder.pad(result, [[0, 0], [above, below], [left, right], [0, 0]])
    return result


def _bytes_product(builder: Builder, rows: int, weights: npt.NDArray[np.float64]) -> int:
    """Return int8 `rows` (N, source) times `weights` (planes, resized, source): int8 (N, planes, resized)."""
    planes, size, _ = weights.shape
    whole, total = byte_weights(weights.reshape(planes * size, -1), grid.LEVELS)
    parts = []
    for block in blocks(whole.reshape(weights.shape), _BLOCK[planes]):
        window = builder.columns(rows, block.first, block.last)
        parts.append(builder.dense(window, block.weights.astype(np.int8), scale=1 / total))
    return builder.concatenated(parts, 2)


def _converted(builder: Builder, frame: int, plan: FramePlan) -> int:
    """Return the first pass of YUV: RGB, int8 (rows / 2, 2, 3, resized) or (rows, 1, 3, resized)."""
    if plan.separated:
        frame = builder.transpose(builder.reshape(frame, [plan.form.size // 2, 2]), [1, 0])
    flat = builder.reshape(frame, [plan.form.size])
    repeat = max(section.repeat for section in plan.sections)
    total: int | None = None
    for section in plan.sections:
        part = builder.slice(flat, [section.start], [section.rows * section.row_bytes])
        values = builder.converted(part, np.float32)
        values = builder.reshape(values, [section.rows, section.row_bytes])
        planes = len(section.weights)
        parts = []
        for block in blocks(section.weights, _FLOAT_BLOCK[planes]):
            window, floats = builder.columns(values, block.first, block.last), block.weights.astype(np.float32)
            parts.append(builder.dense(window, floats, bias=section.bias, positive=section.positive))
        shape = [plan.form.height // repeat, repeat // section.repeat, planes, plan.across]
        term = builder.reshape(builder.concatenated(parts, 2), shape)
        total = term if total is None else builder.add(total, term)
    assert total is not None
    return builder.converted(total, np.int8)
