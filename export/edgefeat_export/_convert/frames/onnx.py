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
from edgefeat_export._convert.frames.colors import LUMA, ColorMatrix, U
from edgefeat_export._convert.frames.filters import byte_weights
from edgefeat_export._convert.frames.plan import FramePlan, Section, blocks
from edgefeat_export._convert.graph import INPUT

__all__ = ["with_frame"]

#: Resized pixels in a block of the first pass, by the number of colours in it, and of the second. Measured with ONNX
#: Runtime on frames of 640x480 and 1280x720.
_ACROSS = {1: 28, 3: 16}
_DOWN = {1: 28, 3: 16}
#: What uint8 tensors have as their zero point whose values have both signs.
_MIDDLE = 128
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
    """Add the nodes from the frame to the picture, uint8 (N, height, width, 3), and return its name.

    Products are written as float between DequantizeLinear and QuantizeLinear, which engines merge.
    """
    size, across, planes = len(plan.down), plan.across, plan.planes
    if plan.colors is None:
        result = _packed(builder, plan)
        if plan.turned:
            pixels = builder.reshape(result, [0, size, across, planes])
            result = _fixed(builder, builder.transpose(pixels, [0, 2, 1, 3]), [across, size, planes])
        else:
            result = builder.reshape(result, [0, size, across, planes])
    else:
        result = _converted(builder, _lines(builder, plan, plan.colors), plan.colors)
        if plan.turned:
            result = _fixed(builder, builder.transpose(result, [0, 2, 1]), [across, size, planes])
        else:
            pixels = builder.reshape(result, [0, size, planes, across])
            result = _fixed(builder, builder.transpose(pixels, [0, 1, 3, 2]), [size, across, planes])
    if planes == 1:
        result = builder.node("Concat", [result] * 3, axis=3)
    (above, below), (left, right) = plan.padding
    if any((above, below, left, right)):
        ends = builder.constant(np.array([0, above, left, 0, 0, below, right, 0]))
        result = builder.node("Pad", [result, ends, builder.constant(np.uint8(0))])
    return result


def _fixed(builder: _Builder, transposed: str, shape: list[int]) -> str:
    """Return the result of a transposition in `shape`, height, width and planes.

    ONNX Runtime would move the transposition behind the network's first operators, where it takes ten times as long;
    it does not move one past a change of shape.
    """
    height, width, planes = shape
    return builder.reshape(builder.reshape(transposed, [0, height, width * planes]), [0, *shape])


def _packed(builder: _Builder, plan: FramePlan) -> str:
    """Return both passes of RGB or gray: (N, resized down, resized across x planes)."""
    (section,) = plan.sections
    planes, size, _ = section.weights.shape
    whole, total = byte_weights(section.weights.reshape(planes * size, -1), grid.LEVELS, pairs=True)
    values = builder.reshape(INPUT, [0, section.rows, section.row_bytes])
    parts = []
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS[planes]):
        window = builder.floats(builder.slice(values, block.first, block.last, 2))
        pixels = block.weights.transpose(2, 1, 0).reshape(block.last - block.first, -1)  # pixel after pixel
        parts.append(builder.rounded(builder.node("MatMul", [window, _matrix(builder, pixels, 1 / total)])))
    rows = builder.node("Concat", parts, axis=2)
    whole, total = byte_weights(plan.down, 255)
    parts = []
    for block in blocks(whole[np.newaxis], _DOWN[1]):
        matrix = builder.weights(block.weights[0].astype(np.uint8), 1 / total)
        window = builder.floats(builder.slice(rows, block.first, block.last, 1))
        parts.append(builder.rounded(builder.node("MatMul", [matrix, window])))
    return builder.node("Concat", parts, axis=1)


def _lines(builder: _Builder, plan: FramePlan, colors: ColorMatrix) -> str:
    """Return the first pass of YUV: uint8 (N, lines, resized), group by group; black is subtracted from luma."""
    flat = builder.reshape(INPUT, [0, plan.form.size])
    kinds: list[str] = []
    for section in plan.sections:
        part = builder.slice(flat, section.start, section.start + section.rows * section.row_bytes, 1)
        kinds += _section(builder, builder.reshape(part, [0, section.rows, section.row_bytes]), section)
    counts = (colors.group.count(LUMA), 1, 1)
    grouped = zip(kinds, counts, strict=True)
    luma, *rest = (builder.reshape(one, [0, plan.groups, count, plan.across]) for one, count in grouped)
    lines = builder.node("Concat", [luma, *rest * colors.group.count(U)], axis=2)
    return builder.reshape(lines, [0, plan.groups * len(colors.group), plan.across])


def _section(builder: _Builder, rows: str, section: Section) -> list[str]:
    """Return the first pass of a section, uint8 (N, rows, resized) for each of its planes."""
    planes, size, _ = section.weights.shape
    whole, total = byte_weights(section.weights.reshape(planes * size, -1), grid.LEVELS, pairs=True)
    parts: list[list[str]] = [[] for _ in range(planes)]
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS[1]):
        part_of_rows = builder.slice(rows, block.first, block.last, 2)
        for part, weights, black in zip(parts, block.weights, section.black, strict=True):
            window = builder.floats(part_of_rows, black)
            part.append(builder.rounded(builder.node("MatMul", [window, _matrix(builder, weights.T, 1 / total)])))
    return [builder.node("Concat", part, axis=2) for part in parts]


def _converted(builder: _Builder, lines: str, colors: ColorMatrix) -> str:
    """Return the second pass of YUV, with its conversion: uint8 (N, resized x 3, across).

    Weights times pixels: the pixels need no transposition. uint8 times uint8 is exact on every processor.
    """
    # 128 is subtracted from all lines; for luma the zero point of the result makes up for it.
    zero = int(np.rint(_MIDDLE * colors.luma))
    parts = []
    for block in blocks(colors.weights, _DOWN[3]):
        shifted = block.weights.transpose(1, 0, 2).reshape(-1, block.last - block.first) + _MIDDLE
        matrix = builder.weights(shifted.astype(np.uint8), colors.unit, _MIDDLE)
        window = builder.floats(builder.slice(lines, block.first, block.last, 1), _MIDDLE)
        parts.append(builder.rounded(builder.node("MatMul", [matrix, window]), zero))
    return builder.node("Concat", parts, axis=1)


def _matrix(builder: _Builder, weights: npt.NDArray[np.float64], scale: float) -> str:
    return builder.weights(np.ascontiguousarray(weights.astype(np.int8)), scale)


class _Builder:
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
        return self.node("Slice", [source, *(self.constant(np.array([value])) for value in (first, last, axis))])

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
