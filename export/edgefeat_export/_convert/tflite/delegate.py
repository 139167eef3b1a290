"""What XNNPACK, the part of LiteRT that computes on CPUs, takes in int8.

An operator that it does not take ends its part of the graph: the tensors go back to the interpreter, whose own kernel
is slower, and a new part begins. MobileNetV3 Small in int8 falls into 19 parts that way, because of its hard-swish.
The list is that of the delegate's documentation ("Quantized Inference", tensorflow/lite/delegates/xnnpack/README.md),
checked by counting the parts of files here.
"""

from __future__ import annotations

from typing import Any

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

#: Operators that XNNPACK computes in float but not in int8: they cost less in float, between a DEQUANTIZE and a
#: QUANTIZE that it computes too.
_FLOAT_ONLY = frozenset(
    {_OP.HARD_SWISH, _OP.GELU, _OP.RSQRT, _OP.SQRT, _OP.SQUARE, _OP.SQUARED_DIFFERENCE, _OP.DIV, _OP.SOFTMAX}
    | {_OP.ABS, _OP.NEG, _OP.FLOOR, _OP.CEIL, _OP.ROUND, _OP.EXP, _OP.LOG, _OP.MAXIMUM, _OP.MINIMUM, _OP.PRELU}
)


def outside(model: Any) -> set[int]:
    """Return the operators of a float32 model that XNNPACK computes in float but not in int8, by index."""
    (graph,) = model.subgraphs
    return {index for index, one in enumerate(graph.operators) if flatbuffer.op_code(model, one) in _FLOAT_ONLY}
