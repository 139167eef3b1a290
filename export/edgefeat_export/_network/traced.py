"""Count the multiply-accumulates of a layer made of other layers, such as a transformer block, in its graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["traced_macs"]


def traced_macs(call: Any, shapes: Sequence[Sequence[int | None]]) -> int:
    """Return the multiply-accumulates of a call of a Keras 3 layer for one image; `shapes` are its inputs', with batch.

    Counted are the matrix products, of dense layers and of attention, and the convolutions.
    """
    import tensorflow as tf

    specs = [tf.TensorSpec([1, *shape[1:]], tensor.dtype) for shape, tensor in zip(shapes, call.sources, strict=True)]

    def run(*given: Any) -> Any:
        values = {id(tensor): value for tensor, value in zip(call.sources, given, strict=True)}
        args, kwargs = call.node.arguments.fill_in(values)
        return call.layer(*args, **kwargs)

    graph = tf.function(run).get_concrete_function(*specs).graph
    return sum(_macs(operation) for operation in graph.get_operations())


def _macs(operation: Any) -> int:
    kind = operation.type
    shapes = [[int(side or 1) for side in tensor.shape] for tensor in operation.inputs if tensor.shape.rank is not None]
    if kind in ("MatMul", "BatchMatMulV2", "BatchMatMul"):
        turned = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        return _result(operation) * shapes[0][-2 if turned else -1]
    if kind == "Einsum":
        terms, _, _ = operation.get_attr("equation").decode().partition("->")
        sides = {
            label: side
            for term, shape in zip(terms.split(","), shapes, strict=True)
            for label, side in zip(term, shape, strict=False)
        }
        return math.prod(sides.values())
    if kind == "Conv2D":
        return _result(operation) * math.prod(shapes[1][:3])
    if kind == "DepthwiseConv2dNative":
        return _result(operation) * math.prod(shapes[1][:2])
    return 0


def _result(operation: Any) -> int:
    return math.prod(int(side or 1) for side in operation.outputs[0].shape)
