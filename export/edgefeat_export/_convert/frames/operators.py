"""Operators added to a TFLite model's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

__all__ = ["Builder"]

_OP, _OPTIONS = schema.BuiltinOperator, schema.BuiltinOptions
_TYPES: dict[type[np.generic], int] = {
    np.float32: schema.TensorType.FLOAT32,
    np.int32: schema.TensorType.INT32,
    np.uint8: schema.TensorType.UINT8,
    np.int8: schema.TensorType.INT8,
}


class Builder:
    """Adds tensors and operators to the end of a model's graph.

    Levels from 0 to 255 are the values of uint8 tensors with zero point 0, and of int8 tensors with zero point -128.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        (self._graph,) = model.subgraphs

    def shape(self, tensor: int) -> list[int]:
        return [int(side) for side in self._graph.tensors[tensor].shape]

    def tensor(
        self, shape: Sequence[int], kind: type[np.generic], content: bytes | None = None, scale: float = 1.0
    ) -> int:
        """Return a new tensor; int8 constants are weights, with zero point 0."""
        tensor = schema.TensorT()
        tensor.shape = list(shape)
        tensor.type = _TYPES[kind]
        tensor.name = f"edgefeat/frame/{len(self._graph.tensors)}".encode()
        tensor.buffer = 0
        if content is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            tensor.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        if kind in (np.uint8, np.int8):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [scale]
            tensor.quantization.zeroPoint = [-128 if kind is np.int8 and content is None else 0]
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def reshape(self, source: int, shape: Sequence[int]) -> int:
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        return self._add(
            "RESHAPE", [source, self._integers(shape)], shape, self._kind(source), options, _OPTIONS.ReshapeOptions
        )

    def slice(self, source: int, begin: Sequence[int], size: Sequence[int]) -> int:
        ends = [self._integers(begin), self._integers(size)]
        options = schema.SliceOptionsT()
        return self._add("SLICE", [source, *ends], size, self._kind(source), options, _OPTIONS.SliceOptions)

    def columns(self, source: int, first: int, last: int) -> int:
        rows, width = self.shape(source)
        return source if (first, last) == (0, width) else self.slice(source, [0, first], [rows, last - first])

    def transpose(self, source: int, order: Sequence[int]) -> int:
        shape = [self.shape(source)[axis] for axis in order]
        options = schema.TransposeOptionsT()
        inputs = [source, self._integers(order)]
        return self._add("TRANSPOSE", inputs, shape, self._kind(source), options, _OPTIONS.TransposeOptions)

    def concatenated(self, sources: Sequence[int], axis: int) -> int:
        if len(sources) == 1:
            return sources[0]
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        shape = self.shape(sources[0])
        shape[axis] = sum(self.shape(source)[axis] for source in sources)
        kind = self._kind(sources[0])
        return self._add("CONCATENATION", sources, shape, kind, options, _OPTIONS.ConcatenationOptions)

    def pad(self, source: int, padding: Sequence[Sequence[int]]) -> int:
        shape = [side + sum(ends) for side, ends in zip(self.shape(source), padding, strict=True)]
        inputs = [source, self._constant(np.array(padding, np.int32))]
        return self._add("PAD", inputs, shape, self._kind(source), schema.PadOptionsT(), _OPTIONS.PadOptions)

    def converted(self, source: int, kind: type[np.generic]) -> int:
        """Return the levels as float32, or as integers: rounded and clipped to 0-255."""
        shape = self.shape(source)
        if kind is np.float32:
            options = schema.DequantizeOptionsT()
            return self._add("DEQUANTIZE", [source], shape, kind, options, _OPTIONS.DequantizeOptions)
        return self._add("QUANTIZE", [source], shape, kind, schema.QuantizeOptionsT(), _OPTIONS.QuantizeOptions)

    def add(self, one: int, other: int) -> int:
        sides = zip(self.shape(one), self.shape(other), strict=True)
        shape = [max(pair) for pair in sides]
        return self._add("ADD", [one, other], shape, np.float32, schema.AddOptionsT(), _OPTIONS.AddOptions)

    def dense(
        self,
        rows: int,
        weights: npt.NDArray[Any],
        *,
        scale: float = 1.0,
        bias: npt.NDArray[np.float64] | None = None,
        positive: bool = False,
    ) -> int:
        """Return `rows` (N, window) times `weights` (planes, resized, window) plus `bias`: (N, planes, resized)."""
        planes, size, window = weights.shape
        kind = weights.dtype.type
        matrix = self.tensor([planes * size, window], kind, np.ascontiguousarray(weights).tobytes(), scale)
        inputs = [rows, matrix, -1]
        if bias is not None:
            inputs[2] = self._constant(np.repeat(bias, size).astype(np.float32))
        options = schema.FullyConnectedOptionsT()
        if positive:
            options.fusedActivationFunction = schema.ActivationFunctionType.RELU
        shape = [self.shape(rows)[0], planes * size]
        product = self._add("FULLY_CONNECTED", inputs, shape, kind, options, _OPTIONS.FullyConnectedOptions)
        return self.reshape(product, [shape[0], planes, size])

    def is_cast_to_float(self, operator: Any) -> bool:
        code = flatbuffer_utils.get_builtin_code_from_operator_code(self._model.operatorCodes[operator.opcodeIndex])
        return bool(code == _OP.CAST and self._graph.tensors[operator.outputs[0]].type == schema.TensorType.FLOAT32)

    def rename_last(self, old: int, new: int) -> None:
        """Let the last operator write to the tensor `new` instead of `old`, which has the same shape and type."""
        self._graph.operators[-1].outputs = [new]
        self._graph.tensors[new].quantization = self._graph.tensors[old].quantization

    def _kind(self, tensor: int) -> type[np.generic]:
        return next(kind for kind, number in _TYPES.items() if number == self._graph.tensors[tensor].type)

    def _integers(self, values: Sequence[int]) -> int:
        return self._constant(np.array(values, np.int32))

    def _constant(self, values: npt.NDArray[Any]) -> int:
        return self.tensor(values.shape, values.dtype.type, values.tobytes())

    def _add(
        self, name: str, inputs: Sequence[int], shape: Sequence[int], kind: type[np.generic], options: Any, option: int
    ) -> int:
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(_OP, name))
        operator.inputs = list(inputs)
        output = self.tensor(shape, kind)
        operator.outputs = [output]
        operator.builtinOptions, operator.builtinOptionsType = options, option
        self._graph.operators.append(operator)
        return output

    def _code(self, code: int) -> int:
        """Return the index of an operator's code, added if the model has none."""
        for index, one in enumerate(self._model.operatorCodes):
            if one.version == 1 and flatbuffer_utils.get_builtin_code_from_operator_code(one) == code:
                return index
        added = schema.OperatorCodeT()
        added.builtinCode = added.deprecatedBuiltinCode = code
        added.version = 1
        self._model.operatorCodes.append(added)
        return len(self._model.operatorCodes) - 1
