"""Put a frame in front of an ONNX file of any precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.filters import byte_weights
from edgefeat_export._convert.frames.plan import FramePlan, blocks
from edgefeat_export._convert.graph import INPUT

__all__ = ["with_frame"]

#: Resized pixels in a block, by the number of planes. Measured with ONNX Runtime on frames of 640x480 and 1920x1080.
_BLOCK = {1: 28, 3: 16}
_DOWN_BLOCK = 28
#: A tap has no `/` in its name.
_PICTURE = "edgefeat/picture"


def with_frame(source: Path, plan: FramePlan, output: Path) -> None:
    """Write the ONNX file `source`, whose input is prepared images, with the frame of `plan` as its input.

    The batch stays free. All weights and operators of the file stay as they are.
    """
    model = onnx.load(source)
    graph = model.graph
    for node in graph.node:
        node.input[:] = [_PICTURE if name == INPUT else name for name in node.input]
    builder = _Builder()
    builder.node("Identity", [_picture(builder, plan)], output=_PICTURE)
    nodes = [*builder.nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(builder.constants)
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [batch, *plan.form.shape]))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, output)


def _picture(builder: _Builder, plan: FramePlan) -> str:
    """Add the nodes from the frame to the picture, uint8 (N, height, width, 3), and return its name."""
    planes = plan.planes
    if plan.rounded:
        (section,) = plan.sections
        rows = builder.reshape(INPUT, [0, section.rows, section.row_bytes])
        mixed = _bytes_product(builder, rows, section.weights)
    else:
        mixed = _converted(builder, plan)
    result = _turned(builder, mixed, plan) if plan.turned else _upright(builder, mixed, plan)
    if planes == 1:
        result = builder.node("Concat", [result] * 3, axis=3)
    (above, below), (left, right) = plan.padding
    if any((above, below, left, right)):
        ends = builder.constant(np.array([0, above, left, 0, 0, below, right, 0]))
        result = builder.node("Pad", [result, ends, builder.constant(np.uint8(0))])
    return result


def _upright(builder: _Builder, mixed: str, plan: FramePlan) -> str:
    """Return the second pass of `mixed` (N, rows, planes, resized): uint8 (N, height, width, planes).

    Weights times pixels: the pixels need no transposition. uint8 times uint8 is exact on every processor.
    """
    rows = builder.reshape(mixed, [0, plan.form.height, plan.planes * plan.across])
    whole, total = byte_weights(plan.down, 255)
    parts = []
    for block in blocks(whole[np.newaxis], _DOWN_BLOCK):
        matrix = builder.weights(block.weights[0].astype(np.uint8), 1 / total)
        window = builder.floats(builder.slice(rows, block.first, block.last, 1))
        parts.append(builder.rounded(builder.node("MatMul", [matrix, window])))
    height, across = len(plan.down), plan.across
    resized = builder.reshape(builder.node("Concat", parts, axis=1), [0, height, plan.planes, across])
    result = builder.transpose(resized, [0, 1, 3, 2])
    # ONNX Runtime would move the transposition behind the network's first operators, where it takes ten times as long;
    # it does not move one past a change of shape.
    return builder.reshape(builder.reshape(result, [0, height, across * plan.planes]), [0, height, across, plan.planes])


def _turned(builder: _Builder, mixed: str, plan: FramePlan) -> str:
    """Return the second pass of `mixed` (N, rows, planes, resized), turned: uint8 (N, height, width, planes)."""
    planes, across, size = plan.planes, plan.across, len(plan.down)
    rows = builder.reshape(mixed, [0, plan.form.height, planes * across])
    resized = _bytes_product(builder, builder.transpose(rows, [0, 2, 1]), plan.down[np.newaxis])
    pixels = builder.transpose(builder.reshape(resized, [0, planes, across * size]), [0, 2, 1])
    return builder.reshape(pixels, [0, across, size, planes])


def _bytes_product(builder: _Builder, rows: str, weights: npt.NDArray[np.float64]) -> str:
    """Return uint8 `rows` (N, rows, source) times `weights` (planes, resized, source): (N, rows, planes, resized).

    Written as float between DequantizeLinear and QuantizeLinear, which engines merge into an integer product.
    """
    planes, size, _ = weights.shape
    whole, total = byte_weights(weights.reshape(planes * size, -1), grid.LEVELS, pairs=True)
    parts = []
    for block in blocks(whole.reshape(weights.shape), _BLOCK[planes]):
        window = builder.floats(builder.slice(rows, block.first, block.last, 2))
        columns = block.weights.reshape(-1, block.last - block.first).T.astype(np.int8)
        matrix = builder.weights(np.ascontiguousarray(columns), 1 / total)
        product = builder.rounded(builder.node("MatMul", [window, matrix]))
        parts.append(builder.reshape(product, [0, 0, planes, block.weights.shape[1]]))
    return builder.node("Concat", parts, axis=3)


def _converted(builder: _Builder, plan: FramePlan) -> str:
    """Return the first pass of YUV: RGB, uint8 (N, rows / 2, 2, 3, resized) or (N, rows, 1, 3, resized)."""
    frame = INPUT
    if plan.separated:
        frame = builder.transpose(builder.reshape(frame, [0, plan.form.size // 2, 2]), [0, 2, 1])
    flat = builder.reshape(frame, [0, plan.form.size])
    repeat = max(section.repeat for section in plan.sections)
    total = ""
    for section in plan.sections:
        part = builder.slice(flat, section.start, section.start + section.rows * section.row_bytes, 1)
        values = builder.node(
            "Cast", [builder.reshape(part, [0, section.rows, section.row_bytes])], to=TensorProto.FLOAT
        )
        planes = len(section.weights)
        parts = []
        for block in blocks(section.weights, _BLOCK[planes]):
            matrix = block.weights.reshape(-1, block.last - block.first).T.astype(np.float32)
            window = builder.slice(values, block.first, block.last, 2)
            product = builder.node("MatMul", [window, builder.constant(np.ascontiguousarray(matrix))])
            parts.append(builder.reshape(product, [0, 0, planes, block.weights.shape[1]]))
        joined = builder.node("Concat", parts, axis=3)
        if section.bias.any():
            bias = section.bias.astype(np.float32)[:, np.newaxis]
            joined = builder.node("Add", [joined, builder.constant(bias)])
        if section.positive:
            joined = builder.node("Relu", [joined])
        shape = [0, plan.form.height // repeat, repeat // section.repeat, planes, plan.across]
        term = builder.reshape(joined, shape)
        total = builder.node("Add", [total, term]) if total else term
    return builder.rounded(total)


class _Builder:
    """Collects nodes and constants with names of their own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._one, self._zero = self.constant(np.float32(1)), self.constant(np.uint8(0))

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
        return self.node("Slice", [source, *(self.constant(np.array([value])) for value in (first, last, axis))])

    def floats(self, source: str) -> str:
        return self.node("DequantizeLinear", [source, self._one, self._zero])

    def weights(self, values: npt.NDArray[np.integer[Any]], scale: float) -> str:
        names = [self.constant(values), self.constant(np.float32(scale)), self.constant(values.dtype.type(0))]
        return self.node("DequantizeLinear", names)

    def rounded(self, source: str) -> str:
        """Return float values rounded and clipped to uint8."""
        return self.node("QuantizeLinear", [source, self._one, self._zero])
