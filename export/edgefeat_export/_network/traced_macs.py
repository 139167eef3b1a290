"""Multiply-accumulates of an operation that consists of others, such as attention: counted in TensorFlow's graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

__all__ = ["traced_macs"]


def traced_macs(operation: Any, arguments: Any, given: Sequence[tuple[Any, Sequence[int | None]]]) -> int:
    """Return the multiply-accumulates of one call of a Keras 3 operation, for one image.

    `arguments` are those of the call, `given` its tensors with their shapes, whose first side is the batch. Products of
    matrices, convolutions and einsums are counted.
    """
    specs = [tf.TensorSpec((1, *shape[1:]), tensor.dtype) for tensor, shape in given]

    def called(*values: Any) -> Any:
        args, kwargs = arguments.fill_in({id(tensor): value for (tensor, _), value in zip(given, values, strict=True)})
        return operation(*args, **kwargs)

    graph = tf.function(called, autograph=False).get_concrete_function(*specs).graph
    return sum(_macs(one) for one in graph.get_operations())


def _macs(operation: Any) -> int:
    """Return the multiply-accumulates of an operation of TensorFlow; 0 for those that are no product."""
    if operation.type not in _PRODUCTS:
        return 0
    shapes = [tensor.shape.as_list() for tensor in (*operation.inputs, *operation.outputs) if tensor.shape.rank]
    if any(side is None for shape in shapes for side in shape):
        return 0
    *taken, made = shapes
    return _PRODUCTS[operation.type](operation, taken, math.prod(made))


def _matrix(operation: Any, taken: Sequence[Sequence[int]], made: int) -> int:
    turned = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    return made * taken[0][-2 if turned else -1]


def _einsum(operation: Any, taken: Sequence[Sequence[int]], made: int) -> int:
    terms = operation.get_attr("equation").decode().partition("->")[0].split(",")
    sides = {
        label: side for term, shape in zip(terms, taken, strict=True) for label, side in zip(term, shape, strict=True)
    }
    return math.prod(sides.values()) if len(terms) > 1 else 0


def _convolution(operation: Any, taken: Sequence[Sequence[int]], made: int) -> int:
    return made * math.prod(taken[1][:-1])


def _depthwise(operation: Any, taken: Sequence[Sequence[int]], made: int) -> int:
    return made * math.prod(taken[1][:2])


_PRODUCTS = {
    "MatMul": _matrix,
    "BatchMatMulV2": _matrix,
    "Einsum": _einsum,
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
}
