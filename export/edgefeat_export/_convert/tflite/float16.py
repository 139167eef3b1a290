"""Round weights to float16 so that the rounding errors of a channel cancel out.

Rounding each weight to the nearest value leaves each channel with an error: the sum of its rounding errors times the
mean of the inputs. After a ReLU all inputs are positive, so this is a constant offset, which a later batch norm may
enlarge. Rounding a few weights of each channel the other way, those closest to the midpoint, makes the sum zero. The
idea is that of the bias correction of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction" (2019), without data and without a bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite.facts import OUTPUT_AXIS

__all__ = ["round_weights", "rounded"]


def round_weights(model: Any) -> None:
    """Round the weights of every convolution and dense layer of the float32 `model` to float16 values, in place."""
    (graph,) = model.subgraphs
    done: set[int] = set()
    for operator in graph.operators:
        axis = OUTPUT_AXIS.get(flatbuffer.op_code(model, operator))
        if axis is None:
            continue
        tensor = graph.tensors[operator.inputs[1]]
        content = flatbuffer.constant(model, tensor)
        if content is None or tensor.type != schema.TensorType.FLOAT32 or tensor.buffer in done:
            continue
        done.add(tensor.buffer)
        weights = np.moveaxis(np.frombuffer(content, np.float32).reshape(tensor.shape), axis, 0)
        narrow = rounded(weights.reshape(len(weights), -1)).reshape(weights.shape)
        values = np.ascontiguousarray(np.moveaxis(narrow, 0, axis), np.float32)
        model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)


def rounded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `rows` (outputs, weights) in float16 values, with the sum of the errors of each row close to zero.

    No weight moves further than to the second-nearest float16 value.
    """
    near = rows.astype(np.float16)
    finite = np.isfinite(near)
    errors = np.where(finite, near.astype(np.float64) - rows, 0.0)
    other = np.nextafter(near, np.where(errors > 0, np.float16(-np.inf), np.float16(np.inf)))
    usable = finite & np.isfinite(other) & (errors != 0)
    result = near.astype(np.float32)
    for row in range(len(rows)):
        total = float(errors[row].sum())
        steps = other[row].astype(np.float64) - near[row]
        helps = np.flatnonzero(usable[row] & (np.sign(steps) == -np.sign(total)))
        cost = np.abs(steps[helps]) - 2 * np.abs(errors[row, helps])
        cheapest = helps[np.argsort(cost, kind="stable")]
        left = np.abs(total + np.concatenate([[0.0], np.cumsum(steps[cheapest])]))
        turned = cheapest[: int(np.argmin(left))]
        result[row, turned] = other[row, turned]
    return result
