"""Read from a TFLite file of integers alone what a program without floats has to know about it."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from edgefeat._bundle.manifest import Integers, Quantization
from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["OPERATOR_NAMES", "integer_facts"]

#: The schema's names of operators, by number.
OPERATOR_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}

_TYPES = schema.TensorType


def integer_facts(path: Path) -> Integers:
    """Return the input's type, the outputs' scales and zero points, the operators and those with 16-bit results."""
    model = flatbuffer.read(path)
    (graph,) = model.subgraphs
    outputs = {}
    for name, index in zip(flatbuffer.taps(model), graph.outputs, strict=True):
        found = graph.tensors[index].quantization
        outputs[name] = Quantization(float(found.scale[0]), int(found.zeroPoint[0]))
    wide = [
        graph.tensors[i].name.decode()
        for operator in graph.operators
        for i in operator.outputs
        if graph.tensors[i].type == _TYPES.INT16
        and flatbuffer.op_code(model, operator) != schema.BuiltinOperator.QUANTIZE
    ]
    return Integers(
        input="uint8" if graph.tensors[graph.inputs[0]].type == _TYPES.UINT8 else "int8",
        outputs=outputs,
        operators=tuple(sorted({OPERATOR_NAMES[flatbuffer.op_code(model, one)] for one in graph.operators})),
        wide_operations=tuple(wide),
    )
