"""Write grouped convolutions with one input channel per group as the depthwise convolutions that they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["name_depthwise"]

_OP = schema.BuiltinOperator


def name_depthwise(model: Any) -> int:
    """Change the operators in place and return their number; the features stay the same.

    Keras writes ConvNeXt's depthwise layers as Conv2D with groups, and TensorFlow's converter as CONV_2D with one input
    channel. XNNPACK computes that in float, but not in int8, where each such layer would interrupt it.
    """
    (graph,) = model.subgraphs
    found = [one for one in graph.operators if _is_depthwise(model, one)]
    for operator in found:
        _write(model, operator)
    return len(found)


def _is_depthwise(model: Any, operator: Any) -> bool:
    if flatbuffer.op_code(model, operator) != _OP.CONV_2D:
        return False
    (graph,) = model.subgraphs
    source, weights = (graph.tensors[operator.inputs[place]] for place in (0, 1))
    if weights.type != schema.TensorType.FLOAT32 or flatbuffer.constant(model, weights) is None:
        return False
    uses = sum(operator.inputs[1] in list(one.inputs) for one in graph.operators)
    inputs = int(source.shape[-1])
    return uses == 1 and weights.shape[3] == 1 and inputs > 1 and weights.shape[0] % inputs == 0


def _write(model: Any, operator: Any) -> None:
    (graph,) = model.subgraphs
    weights, old = graph.tensors[operator.inputs[1]], operator.builtinOptions
    outputs, height, width, _ = (int(side) for side in weights.shape)
    values = np.frombuffer(bytes(flatbuffer.constant(model, weights) or b""), np.float32).reshape(
        outputs, height, width
    )
    buffer = schema.BufferT()
    buffer.data = np.ascontiguousarray(values.transpose(1, 2, 0)).reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    weights.buffer = len(model.buffers) - 1
    weights.shape = np.array([1, height, width, outputs], np.int32)
    weights.shapeSignature = None
    new = schema.DepthwiseConv2DOptionsT()
    new.padding, new.strideH, new.strideW = old.padding, old.strideH, old.strideW
    new.dilationHFactor, new.dilationWFactor = old.dilationHFactor, old.dilationWFactor
    new.fusedActivationFunction = old.fusedActivationFunction
    new.depthMultiplier = outputs // int(graph.tensors[operator.inputs[0]].shape[-1])
    operator.builtinOptions, operator.builtinOptionsType = new, schema.BuiltinOptions.DepthwiseConv2DOptions
    operator.opcodeIndex = _code(model)


def _code(model: Any) -> int:
    """Return the index of the depthwise convolution among the model's operator codes, added if it is missing."""
    for index, one in enumerate(model.operatorCodes):
        if one.builtinCode == _OP.DEPTHWISE_CONV_2D:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _OP.DEPTHWISE_CONV_2D
    code.version = 2  # the first with dilation
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
