"""Operators added to a TFLite model's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

__all__ = ["BYTES", "Builder"]

_OP, _OPTIONS = schema.BuiltinOperator, schema.BuiltinOptions
_TYPES: dict[type[np.generic], int] = {
    np.float32: schema.TensorType.FLOAT32,
    np.int32: schema.TensorType.INT32,
    np.uint8: schema.TensorType.UINT8,
    np.int8: schema.TensorType.INT8,
}

#: The zero point of int8 tensors whose values are levels from 0 to 255.
BYTES = -128


class Builder:
    """Adds tensors and operators to the end of a model's graph.

    Levels from 0 to 255 are the values of uint8 tensors with zero point 0, and of int8 tensors with zero point -128.
    Other zero points stand for levels less a number: the bytes are the same. No concatenation has more inputs than
    `most_joined`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        (self._graph,) = model.subgraphs
        self.most_joined: int | None = None

    def shape(self, tensor: int) -> list[int]:
        return [int(side) for side in self._graph.tensors[tensor].shape]

    def kind(self, tensor: int) -> type[np.generic]:
        return next(kind for kind, number in _TYPES.items() if number == self._graph.tensors[tensor].type)

    def zero(self, tensor: int) -> int:
        """Return the zero point, 0 for a tensor that has none."""
        found = self._graph.tensors[tensor].quantization
        return int(found.zeroPoint[0]) if found is not None and found.zeroPoint is not None else 0

    def tensor(
        self,
        shape: Sequence[int],
        kind: type[np.generic],
        content: bytes | None = None,
        *,
        scale: float | None = None,
        zero: int = 0,
    ) -> int:
        """Return a new tensor, a constant if it has content; bytes have the scale 1 without another."""
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
        # Without a scale for the int32 bias of a dense layer, LiteRT crashes on a Cortex-A72.
        if kind in (np.uint8, np.int8) or scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [1.0 if scale is None else scale]
            tensor.quantization.zeroPoint = [zero]
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def reshape(self, source: int, shape: Sequence[int]) -> int:
        """Return a tensor in another shape; one side may be -1, and is then what is left."""
        others = -int(np.prod(shape)) if -1 in shape else 1
        shape = [int(np.prod(self.shape(source))) // others if side == -1 else side for side in shape]
        if shape == self.shape(source):
            return source
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        return self._add(
            "RESHAPE", [source, self._integers(shape)], shape, self.kind(source), options, _OPTIONS.ReshapeOptions
        )

    def slice(self, source: int, begin: Sequence[int], size: Sequence[int]) -> int:
        if list(size) == self.shape(source):
            return source
        ends = [self._integers(begin), self._integers(size)]
        options = schema.SliceOptionsT()
        return self._add("SLICE", [source, *ends], size, self.kind(source), options, _OPTIONS.SliceOptions)

    def window(self, source: int, top: int, bottom: int, left: int, right: int) -> int:
        """Return rows and columns of a matrix."""
        whole = (top, bottom, left, right) == (0, self.shape(source)[0], 0, self.shape(source)[1])
        return source if whole else self.slice(source, [top, left], [bottom - top, right - left])

    def transpose(self, source: int, order: Sequence[int]) -> int:
        shape = [self.shape(source)[axis] for axis in order]
        options = schema.TransposeOptionsT()
        inputs = [source, self._integers(order)]
        return self._add("TRANSPOSE", inputs, shape, self.kind(source), options, _OPTIONS.TransposeOptions)

    def concatenated(self, sources: Sequence[int], axis: int) -> int:
        if len(sources) == 1:
            return sources[0]
        if self.most_joined is not None and len(sources) > self.most_joined:
            starts = range(0, len(sources), self.most_joined)
            parts = [self.concatenated(sources[start : start + self.most_joined], axis) for start in starts]
            return self.concatenated(parts, axis)
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        shape = self.shape(sources[0])
        shape[axis] = sum(self.shape(source)[axis] for source in sources)
        kind = self.kind(sources[0])
        return self._add("CONCATENATION", sources, shape, kind, options, _OPTIONS.ConcatenationOptions)

    def flipped(self, source: int) -> int:
        """Return a tensor whose first axis is reversed."""
        inputs = [source, self._integers([0])]
        options = schema.ReverseV2OptionsT()
        kind = _OPTIONS.ReverseV2Options
        return self._add("REVERSE_V2", inputs, self.shape(source), self.kind(source), options, kind)

    def pad(self, source: int, padding: Sequence[Sequence[int]]) -> int:
        """Return levels with black around them."""
        shape = [side + sum(ends) for side, ends in zip(self.shape(source), padding, strict=True)]
        ends, zero, kind = self._constant(np.array(padding, np.int32)), self.zero(source), self.kind(source)
        if zero == (BYTES if kind is np.int8 else 0):
            return self._add("PAD", [source, ends], shape, kind, schema.PadOptionsT(), _OPTIONS.PadOptions)
        black = self.tensor([1], np.int8, np.array([BYTES], np.int8).tobytes(), zero=zero)
        inputs = [source, ends, black]
        return self._add("PADV2", inputs, shape, np.int8, schema.PadV2OptionsT(), _OPTIONS.PadV2Options, zero=zero)

    def converted(self, source: int, kind: type[np.generic]) -> int:
        """Return the levels as float32, or as integers: rounded and clipped to 0-255."""
        shape = self.shape(source)
        if kind is np.float32:
            options = schema.DequantizeOptionsT()
            return self._add("DEQUANTIZE", [source], shape, kind, options, _OPTIONS.DequantizeOptions)
        zero = BYTES if kind is np.int8 else 0
        return self._add(
            "QUANTIZE", [source], shape, kind, schema.QuantizeOptionsT(), _OPTIONS.QuantizeOptions, zero=zero
        )

    def signed(self, source: int) -> int:
        """Return levels as int8; uint8 ones pass through float."""
        if self.kind(source) is np.int8:
            return source
        return self.converted(self.converted(source, np.float32), np.int8)

    def dense(
        self,
        rows: int,
        weights: npt.NDArray[np.int8],
        *,
        scale: float,
        bias: npt.NDArray[np.float64] | None = None,
        zero: int = BYTES,
    ) -> int:
        """Return int8 `rows` (..., window) times `weights` (resized, window) times `scale`: int8 (N, resized).

        `bias` (resized,), or of 1 for all, is added. `zero` is the zero point of the result.
        """
        matrix = self.tensor(weights.shape, np.int8, np.ascontiguousarray(weights).tobytes(), scale=scale)
        inputs = [rows, matrix, -1]
        if bias is not None and bias.any():
            inputs[2] = self.bias(np.broadcast_to(bias, len(weights)), scale)
        options = schema.FullyConnectedOptionsT()
        shape = [int(np.prod(self.shape(rows)[:-1])), len(weights)]
        kind = _OPTIONS.FullyConnectedOptions
        return self._add("FULLY_CONNECTED", inputs, shape, np.int8, options, kind, zero=zero)

    def bias(self, values: npt.NDArray[np.float64], scale: float) -> int:
        """Return what a product with weights of `scale` can add to its sums: levels, as a constant."""
        sums = np.rint(values / scale).astype(np.int32)
        return self.tensor(sums.shape, np.int32, sums.tobytes(), scale=scale)

    def depthwise(
        self,
        image: int,
        weights: npt.NDArray[np.uint8],
        *,
        stride: int,
        scale: float,
        bias: int,
    ) -> int:
        """Return uint8 `image` (1, rows, 1, bytes) times `weights` (window,) times `scale`, every `stride` rows.

        All bytes of a row have the same weights. The tensor `bias` (bytes,) is added.
        """
        _, rows, _, width = self.shape(image)
        window = len(weights)
        matrix = np.broadcast_to(weights[:, np.newaxis], (window, width))
        constant = self.tensor([1, window, 1, width], np.uint8, np.ascontiguousarray(matrix).tobytes(), scale=scale)
        inputs = [image, constant, bias]
        options = schema.DepthwiseConv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideH = options.strideW = stride
        options.depthMultiplier = options.dilationHFactor = options.dilationWFactor = 1
        shape = [1, (rows - window) // stride + 1, 1, width]
        return self._add("DEPTHWISE_CONV_2D", inputs, shape, np.uint8, options, _OPTIONS.DepthwiseConv2DOptions, zero=0)

    def levels_of(self, operators: list[Any], picture: int) -> int | None:
        """Return the int8 tensor of pixels that the network's `operators` read, or None if they read floats.

        It is the picture itself, or what their first operator converts it to; that operator is then removed.
        """
        if self.kind(picture) is np.int8:
            return picture
        readers = [one for one in operators if picture in list(one.inputs)]
        first = readers[0]
        if len(readers) > 1 or self._is(first, _OP.CAST) or self.kind(int(first.outputs[0])) is not np.int8:
            return None
        operators.remove(first)
        return int(first.outputs[0])

    def replace(self, operators: Sequence[Any], old: int, new: int) -> None:
        """Let `operators` read the tensor `new` instead of `old`."""
        for one in operators:
            one.inputs = [new if index == old else index for index in one.inputs]

    def is_cast_to_float(self, operator: Any) -> bool:
        return self._is(operator, _OP.CAST) and self.kind(int(operator.outputs[0])) is np.float32

    def rename_last(self, old: int, new: int) -> None:
        """Let the last operator write to the tensor `new` instead of `old`, which has the same shape and type."""
        self._graph.operators[-1].outputs = [new]
        self._graph.tensors[new].quantization = self._graph.tensors[old].quantization

    def _integers(self, values: Sequence[int]) -> int:
        return self._constant(np.array(values, np.int32))

    def _constant(self, values: npt.NDArray[Any]) -> int:
        return self.tensor(values.shape, values.dtype.type, values.tobytes())

    def _add(
        self,
        name: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        kind: type[np.generic],
        options: Any,
        option: int,
        *,
        zero: int | None = None,
    ) -> int:
        """Add an operator and return its output; without `zero`, it has the zero point of its first input."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(getattr(_OP, name))
        operator.inputs = list(inputs)
        output = self.tensor(shape, kind, zero=self.zero(inputs[0]) if zero is None else zero)
        operator.outputs = [output]
        operator.builtinOptions, operator.builtinOptionsType = options, option
        self._graph.operators.append(operator)
        return output

    def _is(self, operator: Any, code: int) -> bool:
        found = flatbuffer_utils.get_builtin_code_from_operator_code(self._model.operatorCodes[operator.opcodeIndex])
        return bool(found == code)

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
