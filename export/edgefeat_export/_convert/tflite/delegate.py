"""What XNNPACK, the part of LiteRT that computes on CPUs, takes in int8.

An operator that it does not take ends its part of the graph: the tensors go back to the interpreter, whose own kernel
is slower, and a new part begins. MobileNetV3 Small in int8 falls into 19 parts that way, because of its hard-swish.
The list is that of the delegate's documentation ("Quantized Inference", tensorflow/lite/delegates/xnnpack/README.md),
checked by counting the parts of files here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["INT8", "outside"]

_OP = schema.BuiltinOperator

#: Operators that XNNPACK computes on int8 tensors.
INT8 = frozenset(
    {_OP.ADD, _OP.AVERAGE_POOL_2D, _OP.BATCH_MATMUL, _OP.CONCATENATION, _OP.CONV_2D, _OP.DEPTH_TO_SPACE}
    | {_OP.DEPTHWISE_CONV_2D, _OP.DEQUANTIZE, _OP.ELU, _OP.EXPAND_DIMS, _OP.FULLY_CONNECTED, _OP.LEAKY_RELU}
    | {_OP.LOGISTIC, _OP.MAX_POOL_2D, _OP.MEAN, _OP.MUL, _OP.PAD, _OP.QUANTIZE, _OP.RELU, _OP.RELU6}
    | {_OP.RELU_N1_TO_1, _OP.RESHAPE, _OP.RESIZE_BILINEAR, _OP.SLICE, _OP.SPLIT, _OP.SQUEEZE, _OP.STRIDED_SLICE}
    | {_OP.SUB, _OP.TANH, _OP.TRANSPOSE, _OP.TRANSPOSE_CONV}
)

#: Operators without weights that stay in float between or after others.
_PLAIN = frozenset({_OP.ADD, _OP.SUB, _OP.MUL})

#: Operators that XNNPACK computes in float but not in int8: they cost less in float, between a DEQUANTIZE and a
#: QUANTIZE that it computes too.
_FLOAT_ONLY = frozenset(
    {_OP.HARD_SWISH, _OP.GELU, _OP.RSQRT, _OP.SQRT, _OP.SQUARE, _OP.SQUARED_DIFFERENCE, _OP.DIV, _OP.SOFTMAX}
    | {_OP.ABS, _OP.NEG, _OP.FLOOR, _OP.CEIL, _OP.ROUND, _OP.EXP, _OP.LOG, _OP.MAXIMUM, _OP.MINIMUM, _OP.PRELU}
)

#: The largest window for which XNNPACK has a depthwise kernel in int8: 5 x 5. With its 7 x 7 layers in int8 ConvNeXt
#: Tiny at 64 pixels takes 86 ms, with them in float 18 ms.
_TAPS = 25


def outside(model: Any) -> set[int]:
    """Return the operators of a float32 model that XNNPACK computes in float but not in int8, by index.

    With them the additions and products up to the next layer that use a reciprocal square root: a LayerNorm is then one
    float part. In int8 its products with one value for each position are slow, and not precise.
    """
    (graph,) = model.subgraphs
    found = {index for index, one in enumerate(graph.operators) if _is_float_only(model, one)}
    normal: set[int] = set()
    for index, one in enumerate(graph.operators):  # in the order of execution
        code = flatbuffer.op_code(model, one)
        if code == _OP.RSQRT or (code in _PLAIN and normal & set(map(int, one.inputs))):
            normal.update(map(int, one.outputs))
            found.add(index)
    between = {int(tensor) for index in found for tensor in graph.operators[index].inputs}
    written = {int(tensor) for index in found for tensor in graph.operators[index].outputs}
    found |= {
        index
        for index, one in enumerate(graph.operators)
        if flatbuffer.op_code(model, one) in _PLAIN
        and written & set(map(int, one.inputs))
        and between & set(map(int, one.outputs))
    }
    return found | _chains(model, found)


def _chains(model: Any, found: set[int]) -> set[int]:
    """Return the additions and products that lead from these operators to these operators and take nothing else.

    Keras 3.16 computes the variance of a LayerNorm as a difference, to which a constant is added.
    """
    (graph,) = model.subgraphs
    float_tensors = {int(tensor) for index in found for tensor in graph.operators[index].outputs}
    chain: list[int] = []
    for index, one in enumerate(graph.operators):
        inputs = [int(tensor) for tensor in one.inputs]
        computed = [tensor for tensor in inputs if flatbuffer.constant(model, graph.tensors[tensor]) is None]
        plain = index not in found and flatbuffer.op_code(model, one) in _PLAIN
        if plain and computed and float_tensors.issuperset(computed):
            chain.append(index)
            float_tensors.update(map(int, one.outputs))
    wanted = {int(tensor) for index in found for tensor in graph.operators[index].inputs}
    leading = set()
    for index in reversed(chain):
        if wanted & set(map(int, graph.operators[index].outputs)):
            leading.add(index)
            wanted.update(map(int, graph.operators[index].inputs))
    return leading


def _is_float_only(model: Any, operator: Any) -> bool:
    code = flatbuffer.op_code(model, operator)
    if code == _OP.DEPTHWISE_CONV_2D:
        _, height, width, _ = model.subgraphs[0].tensors[operator.inputs[1]].shape
        return bool(height * width > _TAPS)
    if code != _OP.MEAN:
        return code in _FLOAT_ONLY
    # In int8 only the mean over positions is delegated, not one over channels.
    axes = flatbuffer.constant(model, model.subgraphs[0].tensors[operator.inputs[1]])
    return axes is None or sorted(np.frombuffer(axes, np.int32).tolist()) != [1, 2]
