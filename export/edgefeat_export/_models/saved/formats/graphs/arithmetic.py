"""Say what arithmetic a graph does with its pixels first, which may be their scaling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["first_arithmetic"]

_SIGNS = {"Add": "+", "AddV2": "+", "Div": "/", "Mul": "*", "RealDiv": "/", "Sub": "-"}
_COMMUTES = ("Add", "AddV2", "Mul")
_PASSED = ("Cast", "Identity", "StopGradient")


def first_arithmetic(graph: Any) -> str:
    """Return the arithmetic with constants that a function's graph does first with its input, such as `* 2 - 1`."""
    return " ".join(_steps(graph.inputs[0]))


def _steps(tensor: Any) -> Iterator[str]:
    import tensorflow as tf

    while len(tensor.consumers()) == 1:
        (operation,) = tensor.consumers()
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
