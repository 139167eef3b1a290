"""Write corrected constants to the ONNX and TFLite files that they came from."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._quantize.correction.layers import Floats, Layer

__all__ = ["matched", "write_tflite"]

_OP = schema.BuiltinOperator

#: Order of the axes of TFLite's weights for ONNX: outputs, inputs of a group, height, width.
_AXES = {_OP.CONV_2D: (0, 3, 1, 2), _OP.DEPTHWISE_CONV_2D: (3, 0, 1, 2), _OP.FULLY_CONNECTED: (0, 1)}


def matched(tflite: Any, layers: Sequence[Layer], known: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Return the index of the TFLite operator that each layer was made from, by node name.

    Operators are matched by their weights, in order if some are equal; a layer without a match is omitted.
    """
    (graph,) = tflite.subgraphs
    waiting: defaultdict[tuple[Any, ...], deque[int]] = defaultdict(deque)
    for index, operator in enumerate(graph.operators):
        weights = _weights(tflite, operator)
        if weights is not None:
            waiting[_key(weights)].append(index)
    found = {}
    for layer in layers:
        weights = known[layer.weight].T if layer.kind == "MatMul" else known[layer.weight]
        same = waiting.get(_key(weights))
        if same:
            found[layer.node] = same.popleft()
    return found


def write_tflite(
    tflite: Any, layers: Sequence[Layer], known: Mapping[str, NDArray[Any]], changed: Mapping[str, NDArray[Any]]
) -> None:
    """Write the `changed` constants of the ONNX `layers` to the TFLite model, in place; `known` are the old ones."""
    places = matched(tflite, layers, known)
    (graph,) = tflite.subgraphs
    for layer in layers:
        operator = graph.operators[places[layer.node]]
        if layer.weight in changed:
            axes = _AXES[flatbuffer.op_code(tflite, operator)]
            weights = changed[layer.weight].T if layer.kind == "MatMul" else changed[layer.weight]
            flatbuffer.replace_constant(tflite, operator, 1, weights.transpose(np.argsort(axes)), "weights")
            _set_channels(graph.tensors[operator.outputs[0]], len(weights))
        if layer.bias in changed:
            bias = _bias(tflite, operator, len(known[layer.bias]))
            # Do not always write the sum: if both files have a bias, it must stay identical in both.
            same = np.array_equal(bias, known[layer.bias])
            values = changed[layer.bias] if same else bias + changed[layer.bias] - known[layer.bias]
            flatbuffer.replace_constant(tflite, operator, 2, values, "bias")


def _weights(tflite: Any, operator: Any) -> Floats | None:
    """Return the constant weights of an operator with ONNX's axes."""
    axes = _AXES.get(flatbuffer.op_code(tflite, operator))
    if axes is None:
        return None
    tensor = tflite.subgraphs[0].tensors[operator.inputs[1]]
    content = flatbuffer.constant(tflite, tensor)
    if content is None or tensor.type != schema.TensorType.FLOAT32:
        return None
    return np.frombuffer(content, np.float32).reshape(tensor.shape).transpose(axes)


def _bias(tflite: Any, operator: Any, outputs: int) -> Floats:
    """Return the constant bias of an operator, zeros if it has none."""
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return np.zeros(outputs, np.float32)
    content = flatbuffer.constant(tflite, tflite.subgraphs[0].tensors[operator.inputs[2]])
    return np.zeros(outputs, np.float32) if content is None else np.frombuffer(content, np.float32)


def _set_channels(tensor: Any, channels: int) -> None:
    """Set the number of channels of a layer's result, after its outputs were repeated."""
    tensor.shape = [*map(int, tensor.shape[:-1]), channels]
    if tensor.shapeSignature is not None:
        tensor.shapeSignature = [*map(int, tensor.shapeSignature[:-1]), channels]


def _key(weights: NDArray[Any]) -> tuple[Any, ...]:
    """Return a key that is the same only for equal weights."""
    return weights.shape, hashlib.sha256(np.ascontiguousarray(weights).data).digest()
