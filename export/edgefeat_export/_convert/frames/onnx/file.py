"""Put a frame in front of an ONNX file of any precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgefeat_export._convert.frames.onnx.dense import dense_pixels
from edgefeat_export._convert.frames.onnx.nodes import Builder
from edgefeat_export._convert.frames.onnx.strided import strided_pixels
from edgefeat_export._convert.frames.plan import FramePlan
from edgefeat_export._convert.graph import INPUT

__all__ = ["with_frame"]

#: A tap has no `/` in its name.
_PICTURE = "edgefeat/picture"


def with_frame(source: Path, plan: FramePlan, output: Path) -> None:
    """Write the ONNX file `source`, whose input is prepared images, with the frame of `plan` as its input.

    The batch stays free. All weights and operators of the file stay as they are.
    """
    model = onnx.load(source)
    graph = model.graph
    for node in graph.node:
        node.input[:] = [_PICTURE if name == INPUT else name for name in node.input]
    builder = Builder()
    builder.node("Identity", [_picture(builder, plan)], output=_PICTURE)
    nodes = [*builder.nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(builder.constants)
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, *plan.form.shape]))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, output)


def _picture(builder: Builder, plan: FramePlan) -> str:
    """Add the nodes from the frame to the picture, uint8 (N, height, width, 3), and return its name.

    Products are written as float between DequantizeLinear and QuantizeLinear, which engines merge.
    """
    result = strided_pixels(builder, plan) or dense_pixels(builder, plan)
    if plan.planes == 1:
        result = builder.node("Concat", [result] * 3, axis=3)
    (above, below), (left, right) = plan.padding
    if any((above, below, left, right)):
        ends = builder.constant(np.array([0, above, left, 0, 0, below, right, 0]))
        result = builder.node("Pad", [result, ends, builder.constant(np.uint8(0))])
    return result
