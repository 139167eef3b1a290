"""Count the multiply-accumulates of the operations of a TensorFlow graph, from their static shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

__all__ = ["graph_macs"]


def graph_macs(operations: Iterable[Any]) -> int:
    """Return the multiply-accumulates of these operations of a graph for one image; unknown sides count as 1.

    Counted are the matrix products, of dense layers and of attention, and the convolutions.
    """
    return sum(map(_macs, operations))


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
