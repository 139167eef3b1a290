"""Expand weights that a graph stores as integers with their range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._models.saved.code.operations import become

__all__ = ["expand_weights"]

_MODES = ("MIN_COMBINED", "MIN_FIRST", "SCALED")


def expand_weights(graph: Any) -> None:
    """Make float constants, in place, of the operations `Dequantize` of constants with one range.

    Others stay, and are refused where they are needed.
    """
    import tensorflow as tf

    constants = {node.name: node for node in graph.node if node.op == "Const"}
    for node in graph.node:
        floats = _floats(node, constants) if node.op == "Dequantize" else None
        if floats is None:
            continue
        become(node, "Const", dtype=tf.float32.as_datatype_enum)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(floats))


def _floats(node: Any, constants: Mapping[str, Any]) -> NDArray[np.float32] | None:
    """Return the floats that an operation makes of constants, None if it does it in another way than is known."""
    import tensorflow as tf

    mode = node.attr["mode"].s.decode("utf-8", "replace") or _MODES[0]
    axis = node.attr["axis"].i if "axis" in node.attr else -1
    to_floats = "dtype" not in node.attr or node.attr["dtype"].type == tf.float32.as_datatype_enum
    sources = [constants.get(tensor) for tensor in node.input if not tensor.startswith("^")]
    if mode not in _MODES or axis != -1 or not to_floats or len(sources) != 3:
        return None
    stored = [source.attr["value"].tensor for source in sources if source is not None]
    kind = tf.as_dtype(node.attr["T"].type)
    if len(stored) != 3 or not (kind.is_quantized and _is_stored(stored[0])):
        return None
    values, low, high = map(tf.make_ndarray, stored)
    if low.size != 1 or high.size != 1 or not np.isfinite([low.item(), high.item()]).all():
        return None
    # TensorFlow's type of quantized integers has one field, unlike the type of the array that it makes of them.
    integers = values.astype(kind.as_numpy_dtype)
    narrow = node.attr["narrow_range"].b
    found = tf.quantization.dequantize(integers, low.item(), high.item(), mode, narrow_range=narrow)
    return np.asarray(found.numpy(), np.float32)


def _is_stored(tensor: Any) -> bool:
    """Return whether a constant has all its values in the file: a size that is only declared may be any."""
    count = int(np.prod([axis.size for axis in tensor.tensor_shape.dim], dtype=np.float64))
    return bool(tensor.ByteSize() >= count)
