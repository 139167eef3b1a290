"""Put a frame in front of a TFLite file of any precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgefeat_export._convert.frames.plan import FramePlan
from edgefeat_export._convert.frames.tflite.dense import dense_pixels
from edgefeat_export._convert.frames.tflite.operators import BYTES, Builder
from edgefeat_export._convert.frames.tflite.strided import strided_pixels
from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["with_frame"]

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
        pixels = strided_pixels(builder, frame, plan)
        pixels = dense_pixels(builder, frame, plan, BYTES) if pixels is None else pixels
        _feed(builder, own, picture, _picture(builder, pixels, plan))
    else:
        builder.most_joined = _MICRO_JOINED
        # Pixels less the level that the network takes for 0: the same bytes, with another zero point.
        signed = frame if levels == picture else builder.converted(frame, np.int8)
        pixels = dense_pixels(builder, signed, plan, builder.zero(levels))
        builder.replace(own, levels, _picture(builder, pixels, plan))
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


def _picture(builder: Builder, pixels: int, plan: FramePlan) -> int:
    """Return the picture, int8 (1, height, width, 3), of resized `pixels` in its order, gray or RGB."""
    size, across = len(plan.down), plan.across
    height, width = (across, size) if plan.turned else (size, across)
    result = builder.reshape(pixels, [1, height, width, plan.planes])
    if plan.planes == 1:
        result = builder.concatenated([result] * 3, 3)
    (above, below), (left, right) = plan.padding
    if any((above, below, left, right)):
        result = builder.pad(result, [[0, 0], [above, below], [left, right], [0, 0]])
    return result
