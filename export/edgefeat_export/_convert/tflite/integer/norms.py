"""Remove the L2 norm at the end of a TFLite model: a chip without floats leaves it to whoever reads the feature."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefeat import ExportError
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite.channels import remove_unused

__all__ = ["remove_norms"]

_OP = schema.BuiltinOperator


def remove_norms(model: Any, normalized: Collection[str]) -> None:
    """Make the outputs of the taps `normalized` those before the L2 norm, in place, and label the outputs again."""
    (graph,) = model.subgraphs
    names = flatbuffer.taps(model)
    graph.outputs = [
        _source(model, int(index)) if name in normalized else int(index)
        for name, index in zip(names, graph.outputs, strict=True)
    ]
    remove_unused(model)
    flatbuffer.label(model, names)


def _source(model: Any, output: int) -> int:
    """Return the tensor whose L2 norm `output` is, in the shape of `output`."""
    (graph,) = model.subgraphs
    normalized = _unshaped(model, output)
    operator = _maker(model, normalized)
    code = None if operator is None else flatbuffer.op_code(model, operator)
    if code == _OP.L2_NORMALIZATION:
        source = int(operator.inputs[0])
    elif code == _OP.MUL:
        source = max(map(int, operator.inputs), key=lambda index: _size(graph.tensors[index]))
    else:
        raise ExportError("its features do not end in an L2 norm, so they cannot be made of integers")
    before = _unshaped(model, source)
    return before if list(graph.tensors[before].shape) == list(graph.tensors[output].shape) else source


def _unshaped(model: Any, tensor: int) -> int:
    """Return the tensor that `tensor` is a reshaping of, or itself."""
    operator = _maker(model, tensor)
    if operator is None or flatbuffer.op_code(model, operator) != _OP.RESHAPE:
        return tensor
    return _unshaped(model, int(operator.inputs[0]))


def _maker(model: Any, tensor: int) -> Any:
    return next((one for one in model.subgraphs[0].operators if tensor in list(map(int, one.outputs))), None)


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.shape)) if tensor.shape is not None else 1
