"""Nodes added to an ONNX model's graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

__all__ = ["MIDDLE", "Builder"]

#: What uint8 tensors have as their zero point whose values have both signs.
MIDDLE = 128


class Builder:
    """Collects nodes and constants with names of their own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._one = self.constant(np.float32(1))
        self._zeros: dict[int, str] = {}

    def node(self, operator: str, inputs: Sequence[str], *, output: str = "", **attributes: Any) -> str:
        output = output or f"edgefeat/frame/{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], f"edgefeat/frame/{operator}/{len(self.nodes)}", **attributes)
        )
        return output

    def constant(self, values: npt.ArrayLike) -> str:
        name = f"edgefeat/frame/constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def reshape(self, source: str, shape: Sequence[int]) -> str:
        """Return `source` in another shape; a 0 keeps the side that is there, such as the batch."""
        return self.node("Reshape", [source, self.constant(np.array(shape, np.int64))])

    def transpose(self, source: str, order: list[int]) -> str:
        return self.node("Transpose", [source], perm=order)

    def slice(self, source: str, first: int, last: int, axis: int) -> str:
        return self.slices(source, {axis: (first, last)})

    def slices(self, source: str, sides: Mapping[int, tuple[int, int]]) -> str:
        """Return the part of `source` that goes from the first to the last of each of these axes."""
        firsts, lasts = zip(*sides.values(), strict=True)
        return self.node("Slice", [source, *(self.constant(np.array(one)) for one in (firsts, lasts, [*sides]))])

    def reversed(self, source: str, axis: int) -> str:
        """Return `source` from the last to the first along an axis."""
        begin, end, step = -1, np.iinfo(np.int64).min, -1
        return self.node("Slice", [source, *(self.constant(np.array([one])) for one in (begin, end, axis, step))])

    def concatenated(self, parts: Sequence[str], axis: int) -> str:
        return self.node("Concat", parts, axis=axis) if len(parts) > 1 else parts[0]

    def depthwise(
        self,
        source: str,
        weights: npt.NDArray[np.int8],
        bias: npt.NDArray[np.float64],
        *,
        scale: float,
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
    ) -> str:
        """Return a depthwise convolution of `source`, uint8 (N, channels, rows, 1), as uint8 (N, rows, 1, channels).

        All channels have the same `weights` (window,), of which 1 is `scale`, and each its own `bias` (channels,).
        """
        kernel = np.broadcast_to(weights[np.newaxis, np.newaxis, :, np.newaxis], (len(bias), 1, len(weights), 1))
        inputs = [self.floats(source), self.weights(np.ascontiguousarray(kernel), scale)]
        if bias.any():
            inputs.append(self.weights(np.rint(bias / scale).astype(np.int32), scale))
        made = self.node(
            "Conv",
            inputs,
            group=len(bias),
            kernel_shape=[len(weights), 1],
            strides=[stride, 1],
            pads=[padding[0], 0, padding[1], 0],
        )
        return self.transpose(self.rounded(made), [0, 2, 3, 1])

    def floats(self, source: str, zero: int = 0) -> str:
        """Return uint8 values less `zero` as float."""
        return self.node("DequantizeLinear", [source, self._one, self._zero(zero)])

    def weights(self, values: npt.NDArray[np.integer[Any]], scale: float, zero: int = 0) -> str:
        names = [self.constant(values), self.constant(np.float32(scale)), self.constant(values.dtype.type(zero))]
        return self.node("DequantizeLinear", names)

    def rounded(self, source: str, zero: int = 0) -> str:
        """Return float values plus `zero`, rounded and clipped to uint8."""
        return self.node("QuantizeLinear", [source, self._one, self._zero(zero)])

    def _zero(self, value: int) -> str:
        if value not in self._zeros:
            self._zeros[value] = self.constant(np.uint8(value))
        return self._zeros[value]
