"""Compute the operators of a TFLite model that depend on no image once, here, instead of at every inference."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite.channels import remove_unused

__all__ = ["fold_constants"]


def fold_constants(model: Any) -> int:
    """Replace, in place, the results of operators that depend only on constants; return how many operators that saves.

    TensorFlow's converter leaves such operators if it cannot compute them itself: the masks of shifted windows in a
    Swin transformer, for example, which tf2onnx cannot translate either.
    """
    (graph,) = model.subgraphs
    known = {index for index, tensor in enumerate(graph.tensors) if flatbuffer.constant(model, tensor) is not None}
    folded = []
    for operator in graph.operators:
        inputs = {int(index) for index in operator.inputs if index >= 0}
        if inputs and inputs <= known:
            folded.append(operator)
            known.update(map(int, operator.outputs))
    if not folded:
        return 0
    made = {int(index) for operator in folded for index in operator.outputs}
    rest = [operator for operator in graph.operators if operator not in folded]
    read = {int(index) for operator in rest for index in operator.inputs} | {int(index) for index in graph.outputs}
    for index, values in _values(model, sorted(made & read)).items():
        buffer = schema.BufferT()
        buffer.data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        model.buffers.append(buffer)
        graph.tensors[index].buffer = len(model.buffers) - 1
    graph.operators = rest
    remove_unused(model)
    return len(folded)


def _values(model: Any, tensors: list[int]) -> dict[int, Any]:
    """Return the values of tensors that depend on no input, by running the model once."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=bytes(flatbuffer.serialize(model)),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    return {index: interpreter.get_tensor(index) for index in tensors}
