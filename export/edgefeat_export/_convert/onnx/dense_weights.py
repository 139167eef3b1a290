"""Keep the weights of large dense layers out of the translation to ONNX, which copies each of them several times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper

from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["LARGE", "restore", "set_aside"]

#: The size in bytes from which a layer's weights are kept out.
LARGE = 1 << 25


def set_aside(tflite: Path, output: Path, *, large: int = LARGE) -> dict[str, npt.NDArray[np.float32]]:
    """Write the float32 TFLite model with the weights of large dense layers as inputs instead of constants.

    Returns these weights, (units, inputs), by the name of the input; if there are none, nothing is written.
    """
    model = flatbuffer.read(tflite)
    (graph,) = model.subgraphs
    found: dict[str, npt.NDArray[np.float32]] = {}
    for operator in graph.operators:
        if flatbuffer.op_code(model, operator) != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        tensor = graph.tensors[operator.inputs[1]]
        data = model.buffers[tensor.buffer].data
        if tensor.type != schema.TensorType.FLOAT32 or data is None or len(data) < large:
            continue
        name = f"dense_weights_{len(found)}"
        found[name] = np.frombuffer(data, np.float32).reshape(tensor.shape)
        tensor.name, tensor.buffer = name.encode(), 0
        graph.inputs = [*graph.inputs, operator.inputs[1]]
    if found:
        kept = {tensor.buffer for tensor in graph.tensors} | {entry.buffer for entry in model.metadata or []}
        for index, buffer in enumerate(model.buffers):
            if index not in kept:
                buffer.data = None
        output.write_bytes(flatbuffer.serialize(model))
    return found


def restore(model: onnx.ModelProto, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Replace the inputs that `set_aside` made with the weights, in place, transposed where the graph does that."""
    graph = model.graph
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    nodes = []
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in weights and _axes(node) == [1, 0]:
            graph.initializer.append(numpy_helper.from_array(weights[node.input[0]].T, node.output[0]))
        else:
            nodes.append(node)
    read = {name for node in nodes for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in weights.items() if name in read)
    del graph.node[:]
    graph.node.extend(nodes)


def _axes(node: Any) -> list[int]:
    return [axis for attribute in node.attribute if attribute.name == "perm" for axis in attribute.ints]
