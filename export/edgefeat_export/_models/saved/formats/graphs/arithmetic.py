"""Say what arithmetic a graph does with its pixels first, which may be their scaling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["first_arithmetic"]

_SIGNS = {"Add": "+", "AddV2": "+", "Div": "/", "Mul": "*", "RealDiv": "/", "Sub": "-"}
_COMMUTES = ("Add", "AddV2", "Mul")
#: Operations that leave pixels as they are, or change only the size of the image.
_PASSED = frozenset(
    """
    Cast ExpandDims Identity MirrorPad Pad PadV2 Reshape ResizeArea ResizeBicubic ResizeBilinear
    ResizeNearestNeighbor Squeeze StopGradient
    """.split()
)
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
#: Operations that do not take pixels.
_ASIDE = ("Rank", "Shape", "ShapeN", "Size")


def first_arithmetic(graph: Any) -> str:
    """Return the arithmetic with constants that a function's graph does first with its input, such as `* 2 - 1`."""
    return " ".join(_steps(graph.inputs[0]))


def _steps(tensor: Any) -> Iterator[str]:
    import tensorflow as tf

    while len(takers := [one for one in tensor.consumers() if one.type not in _ASIDE]) == 1:
        (operation,) = takers
        if operation.type in _CALLS:
            inside = _inside(operation, tensor)
            if inside is None:
                return
            tensor = inside
            continue
        if operation.type not in _PASSED:
            other = next((one for one in operation.inputs if one is not tensor), None)
            if operation.type not in _SIGNS or other is None:
                return
            if operation.inputs[0] is not tensor and operation.type not in _COMMUTES:
                return
            value = tf.get_static_value(other)
            if value is None or value.size > 3:
                return
            numbers = ",".join(f"{number:.6g}" for number in np.ravel(value))
            yield f"{_SIGNS[operation.type]} {numbers}"
        tensor = operation.outputs[0]


def _inside(call: Any, tensor: Any) -> Any | None:
    """Return the argument of the function that is called with the tensor; None if it is not known."""
    function = call.graph._get_function(call.get_attr("f").name)
    place = next(index for index, given in enumerate(call.inputs) if given is tensor)
    return None if function is None else function.graph.inputs[place]
