"""Facts of a float32 TFLite model that decide how it is converted further."""

from __future__ import annotations

import functools
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["OUTPUT_AXIS", "has_weights", "is_transformer"]

_OP = schema.BuiltinOperator
#: Operators with weights, with the axis of their outputs.
OUTPUT_AXIS = {_OP.CONV_2D: 0, _OP.DEPTHWISE_CONV_2D: 3, _OP.FULLY_CONNECTED: 0}


def has_weights(float32: Path) -> bool:
    """Return whether a float32 TFLite model has a convolution or a dense layer."""
    model = flatbuffer.read(float32)
    return any(flatbuffer.op_code(model, one) in OUTPUT_AXIS for one in model.subgraphs[0].operators)


@functools.cache  # the file is read whole, and asked about for each variant
def is_transformer(float32: Path) -> bool:
    """Return whether a float32 TFLite model has attention, and more weights in dense layers than in convolutions.

    The first convolution does not count: it makes the patches.
    """
    model = flatbuffer.read(float32)
    (graph,) = model.subgraphs
    dense, convolutions, attention = 0, [], False
    for operator in graph.operators:
        code = flatbuffer.op_code(model, operator)
        content = flatbuffer.constant(model, graph.tensors[operator.inputs[1]]) if len(operator.inputs) > 1 else None
        if code == _OP.BATCH_MATMUL and content is None:
            attention = True
        elif code == _OP.FULLY_CONNECTED:
            dense += len(content or b"")
        elif code in (_OP.CONV_2D, _OP.DEPTHWISE_CONV_2D):
            convolutions.append(len(content or b""))
    return attention and dense > sum(convolutions[1:])
