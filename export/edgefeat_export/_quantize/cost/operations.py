"""Count the work of each operator of a float32 TFLite model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.tflite import delegate, flatbuffer, tail

__all__ = ["Graph", "Operation", "count"]

_OP = schema.BuiltinOperator

#: Kinds of operators that cost alike: products by the shape of their window, everything else by its elements. A
#: `shallow` window has too few input channels for an int8 product: it is the first one, over the image.
Kind = Literal["pointwise", "shallow", "spatial", "depthwise", "plain", "curve"]

#: Operators whose elements take a polynomial or a division each.
_CURVES = frozenset(
    {_OP.HARD_SWISH, _OP.LOGISTIC, _OP.TANH, _OP.GELU, _OP.ELU, _OP.EXP, _OP.SOFTMAX, _OP.RSQRT, _OP.SQRT, _OP.DIV}
    | {_OP.POW, _OP.L2_NORMALIZATION}
)

#: Operators that only name their input differently.
_FREE = frozenset({_OP.RESHAPE, _OP.SQUEEZE, _OP.EXPAND_DIMS})

#: Operators with int8 kernels on CPUs, by engine (onnxruntime: docs/OperatorKernels.md and its QDQ fusions).
_KERNELS = {
    "litert": delegate.INT8,
    "onnxruntime": frozenset(
        {_OP.CONV_2D, _OP.DEPTHWISE_CONV_2D, _OP.FULLY_CONNECTED, _OP.BATCH_MATMUL, _OP.ADD, _OP.MUL, _OP.LOGISTIC}
        | {_OP.AVERAGE_POOL_2D, _OP.MAX_POOL_2D, _OP.CONCATENATION, _OP.LEAKY_RELU, _OP.RESHAPE, _OP.TRANSPOSE}
        | {_OP.PAD, _OP.SQUEEZE, _OP.SLICE, _OP.STRIDED_SLICE, _OP.SPLIT, _OP.RELU, _OP.RELU6}
    ),
}

#: Channels that a vector register holds, and input channels that one int8 product of four or eight takes at once:
#: kernels compute a whole number of them, so a layer with 3 channels costs as much as one with 8.
_REGISTER, _DOT = 16, 8


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator: its kind, its multiplications as each precision computes them, and the elements it touches.

    `positions` are those of a layer's output: each has a cost of its own, which matters if it has few channels.

    `reads` and `writes` are tensors that are computed, by index; `engines` are those that compute it in int8.
    """

    kind: Kind
    float_products: int
    int8_products: int
    positions: int
    elements: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    engines: frozenset[str]

    def in_int8(self, engine: str) -> bool:
        """Return whether an engine has an int8 kernel for the operation; where it has none, the operation is float."""
        return engine in self.engines


@dataclass(frozen=True, slots=True)
class Graph:
    """The operations by index, the elements of each tensor, and the operations that are float in every int8 file."""

    operations: tuple[Operation, ...]
    elements: tuple[int, ...]
    ends: frozenset[int]
    outputs: frozenset[int]


def count(float32: Path) -> Graph:
    """Return the work of a float32 TFLite model."""
    model = flatbuffer.read(float32)
    (graph,) = model.subgraphs
    sizes = tuple(_size(tensor) for tensor in graph.tensors)
    outside = delegate.outside(model)
    operations = tuple(_operation(model, one, sizes, index in outside) for index, one in enumerate(graph.operators))
    return Graph(operations, sizes, frozenset(tail.float_operators(model)), frozenset(map(int, graph.outputs)))


def _operation(model: Any, operator: Any, sizes: tuple[int, ...], outside: bool) -> Operation:
    code = flatbuffer.op_code(model, operator)
    reads = tuple(i for i in map(int, operator.inputs) if i >= 0 and not _is_constant(model, i))
    writes = tuple(map(int, operator.outputs))
    largest = max((sizes[i] for i in (*reads, *writes)), default=0)
    kind, positions, products = _products(model, operator, code)
    return Operation(
        kind=kind,
        float_products=products[0],
        int8_products=products[1],
        positions=positions,
        elements=0 if code in _FREE else largest,
        reads=reads,
        writes=writes,
        engines=frozenset(
            engine for engine, codes in _KERNELS.items() if code in codes and not (outside and engine == "litert")
        ),
    )


def _products(model: Any, operator: Any, code: int) -> tuple[Kind, int, tuple[int, int]]:
    """Return the kind of an operator, its positions, and its multiplications in float and in int8."""
    (graph,) = model.subgraphs
    if code not in (_OP.CONV_2D, _OP.DEPTHWISE_CONV_2D, _OP.FULLY_CONNECTED):
        return ("curve" if code in _CURVES else "plain"), 0, (0, 0)
    weights = [int(size) for size in graph.tensors[operator.inputs[1]].shape]
    output = [int(size) for size in graph.tensors[operator.outputs[0]].shape]
    positions = int(np.prod(output[:-1]))
    channels = _whole(output[-1], _REGISTER)
    if code == _OP.DEPTHWISE_CONV_2D:
        products = positions * weights[1] * weights[2] * channels
        return "depthwise", positions, (products, products)
    window = int(np.prod(weights[1:-1]))
    inputs = weights[-1]
    products = positions * window * inputs * channels
    kind: Kind = "pointwise" if window == 1 else "shallow" if inputs < _DOT else "spatial"
    return kind, positions, (products, products // inputs * _whole(inputs, _DOT))


def _whole(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _size(tensor: Any) -> int:
    return 1 if tensor.shape is None else int(np.prod([int(size) for size in tensor.shape]))


def _is_constant(model: Any, index: int) -> bool:
    return flatbuffer.constant(model, model.subgraphs[0].tensors[index]) is not None
