"""Infer the shapes of an ONNX model's tensors without copying its weights."""

from __future__ import annotations

import numpy as np
import onnx

__all__ = ["inferred", "shapes_of"]

#: The most values of a constant that may be a shape or axes, which shape inference reads.
_SHAPE_VALUES = 64


def inferred(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return the model's graph with the shapes of its tensors and without its weights."""
    return onnx.shape_inference.infer_shapes(_without_weights(model)).graph


def shapes_of(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Return the shape of every tensor whose rank is known; a free dimension is 0."""
    described = [*graph.value_info, *graph.input, *graph.output]
    return {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in described}


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its weights as inputs: shape inference copies the whole model, and needs only shapes."""
    graph, small, sources = model.graph, [], [*model.graph.input]
    for tensor in graph.initializer:
        if np.prod(tensor.dims) <= _SHAPE_VALUES:
            small.append(tensor)
        else:
            sources.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    light = onnx.helper.make_graph(graph.node, graph.name, sources, graph.output, small, value_info=graph.value_info)
    return onnx.helper.make_model(light, opset_imports=model.opset_import, ir_version=model.ir_version)
