"""Find the operators of a float32 TFLite model that stay in float in int8 files: its head and its tail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["float_operators", "head", "tail"]

_OP = schema.BuiltinOperator

#: Operators of preprocessing: arithmetic with constants, swapping channels, and the weighted sum for gray.
_HEAD = frozenset(
    {_OP.CAST, _OP.MUL, _OP.ADD, _OP.SUB, _OP.DIV, _OP.STRIDED_SLICE, _OP.SLICE, _OP.PACK, _OP.UNPACK, _OP.SPLIT}
    | {_OP.REVERSE_V2, _OP.CONCATENATION, _OP.GATHER, _OP.RESHAPE, _OP.SUM, _OP.FLOOR, _OP.SQUEEZE}
)

#: Operators that always belong to the trunk.
_TRUNK = frozenset({_OP.CONV_2D, _OP.DEPTHWISE_CONV_2D, _OP.TRANSPOSE_CONV, _OP.BATCH_MATMUL})

#: Operators of an L2 norm over the channels of a feature map; MUL and DIV are recognized by shape.
_MAP_NORM = frozenset(
    {_OP.L2_NORMALIZATION, _OP.SQUARE, _OP.SUM, _OP.MAXIMUM, _OP.MINIMUM, _OP.SQRT, _OP.RSQRT, _OP.POW}
)


def float_operators(model: Any) -> set[int]:
    """Return the indices of the operators of the head and the tail."""
    return head(model) | tail(model)


def head(model: Any) -> set[int]:
    """Return the operators of the preprocessing: those before the first that is not arithmetic on the image."""
    (graph,) = model.subgraphs
    known = set(map(int, graph.inputs))
    found = set()
    for index, operator in enumerate(graph.operators):
        if flatbuffer.op_code(model, operator) not in _HEAD or not known & set(operator.inputs):
            continue
        if all(i in known or _is_constant(model, i) for i in operator.inputs):
            known.update(operator.outputs)
            found.add(index)
    return found


def tail(model: Any) -> set[int]:
    """Return the operators that turn the trunk's last feature map into features: pooling, projection, L2 norm.

    The search goes from the outputs backwards, up to the last operator whose result is a feature map, or a dense layer
    with an activation (which is part of a backbone; a projection has none).
    """
    (graph,) = model.subgraphs
    maker = {int(t): index for index, operator in enumerate(graph.operators) for t in operator.outputs}
    waiting = [int(t) for t in graph.outputs]
    found: set[int] = set()
    while waiting:
        index = maker.get(waiting.pop())
        if index is None or index in found or not _in_tail(model, graph.operators[index]):
            continue
        found.add(index)
        waiting.extend(_computed(model, graph.operators[index]))
    return found


def _in_tail(model: Any, operator: Any) -> bool:
    code = flatbuffer.op_code(model, operator)
    if code in _TRUNK:
        return False
    if code == _OP.FULLY_CONNECTED:
        return bool(operator.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.NONE)
    if not _is_map(model, operator.outputs[0]) or code in _MAP_NORM:
        return True
    if code in (_OP.MUL, _OP.DIV):
        depths = [_shape(model, i)[-1:] for i in _computed(model, operator)]
        return len(depths) == 2 and [1] in depths and depths[0] != depths[1]
    return False


def _computed(model: Any, operator: Any) -> Iterator[int]:
    return (int(i) for i in operator.inputs if i >= 0 and not _is_constant(model, i))


def _is_constant(model: Any, index: int) -> bool:
    return index < 0 or flatbuffer.constant(model, model.subgraphs[0].tensors[index]) is not None


def _is_map(model: Any, index: int) -> bool:
    shape = _shape(model, index)
    if len(shape) == 3:  # tokens; the norm of each has one element
        return shape[1] > 1 and shape[2] > 1
    return len(shape) == 4 and shape[1] * shape[2] > 1


def _shape(model: Any, index: int) -> list[int]:
    shape = model.subgraphs[0].tensors[index].shape
    return [] if shape is None else [int(size) for size in shape]
