"""Convert ONNX float32 to ONNX int8 by onnxruntime's quantizer: trunk in int8, head and tail in float."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnxruntime import quantization

from edgefeat_export._convert import grid
from edgefeat_export._convert.graph import INPUT
from edgefeat_export._convert.onnx.batch import check_rows
from edgefeat_export._convert.onnx.shapes import inferred, shapes_of
from edgefeat_export._convert.onnx.unused import drop_unused

__all__ = ["Pictures", "check", "float_nodes", "quantize", "with_float"]

#: Images per calibration run: with 8, InceptionResNetV2 takes 5.7 GB instead of 1.7, and as much time.
_BATCH = 1


#: Operators of preprocessing: arithmetic with constants, swapping channels, and the weighted sum for gray.
_HEAD = frozenset({"Cast", "Mul", "Add", "Sub", "Div", "Slice", "Concat", "Gather", "Split", "Squeeze", "Unsqueeze"})
_HEAD |= {"ReduceSum", "Floor", "Reshape"}

#: Operators that always belong to the trunk.
_TRUNK = frozenset({"Conv", "ConvTranspose", "Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softmax"})

#: Operators with weights.
_WEIGHTED = frozenset({"Conv", "MatMul", "Gemm"})

#: Operators of generalised-mean pooling before the mean.
_GEM = frozenset({"Max", "Pow"})


class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc]
    """The images in groups, in the form onnxruntime expects."""

    def __init__(self, pictures: npt.NDArray[np.uint8]) -> None:
        self._batches: Iterator[npt.NDArray[np.uint8]] = (
            pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)
        )

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def check(path: Path) -> None:
    """Raise ExportError unless the int8 file is valid ONNX and the images of a batch do not affect each other."""
    onnx.checker.check_model(path, full_check=True)
    check_rows(path, "int8")


def quantize(
    float32: Path,
    pictures: npt.NDArray[np.uint8],
    output: Path,
    *,
    kept: Collection[str] = (),
    chosen: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Write `float32` with its trunk in int8, without checks.

    Weights are int8 with a scale per channel; activations are uint8 over the observed range. x86 multiplies this pair
    (u8s8) fastest, but without VNNI its 16-bit sums saturate if weights use all 8 bits. Weights that already lie on an
    int8 grid, as corrected ones do, become the integers of that grid. Nodes named in `kept` stay in float. Activations
    in `chosen`, by name, have that range instead of the observed one.
    """
    model = onnx.load(float32)
    quantization.quantize_static(
        float32,
        output,
        Pictures(pictures),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.MinMax,
        nodes_to_exclude=sorted({*float_nodes(model), *kept}),
        extra_options={"TensorQuantOverrides": _grids(model, kept) | _ends(chosen or {})},
    )


def with_float(quantized: onnx.ModelProto, float32: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """Return `quantized`, which was made from `float32`, with the nodes in `kept` in float again.

    The result equals quantizing with these `kept`, in a tenth of the time; all other scales stay the same. Use it only
    for comparisons, not in a bundle: an activation that was merged into a layer outside `kept` stays merged.
    """
    made = onnx.ModelProto()
    made.CopyFrom(quantized)
    present = {node.name: node for node in made.graph.node}
    outputs = {name for node in made.graph.node for name in node.output}
    kept_tensors = {name for node in float32.graph.node if node.name in kept for name in node.output}
    constant = {tensor.name for tensor in float32.graph.initializer}
    for node in float32.graph.node:
        # A missing activation was merged into its layer, and stays with it in float or in int8.
        merged = node.name not in present
        if not (kept_tensors >= set(node.input) - constant if merged else node.name in kept):
            continue
        own = made.graph.node.add() if merged else present[node.name]
        own.CopyFrom(node)
        kept_tensors.update(node.output)
        # Outputs of int8 layers stay rounded: the rounding includes any activation that was merged into them.
        rounded = {name: f"{name}_DequantizeLinear_Output" for name in node.input if name not in kept_tensors}
        own.input[:] = [
            f"{name}/float" if name in constant else rounded[name] if rounded.get(name) in outputs else name
            for name in node.input
        ]
    drop_unused(made.graph)
    # Use other names: an int8 layer may have the same constant, rounded.
    needed = {name for node in made.graph.node for name in node.input}
    for tensor in float32.graph.initializer:
        if f"{tensor.name}/float" in needed:
            made.graph.initializer.add().CopyFrom(tensor)
            made.graph.initializer[-1].name = f"{tensor.name}/float"
    del made.graph.value_info[:]
    return made


def _grids(model: onnx.ModelProto, kept: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the range of every channel of weights that lie on a grid, in the form onnxruntime's quantizer takes."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type not in _WEIGHTED or node.name in kept or node.input[1] not in constants:
            continue
        weights = numpy_helper.to_array(constants[node.input[1]])
        axis = 1 if node.op_type == "MatMul" else 0
        scales = grid.found_scales(np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1))
        if scales is not None:
            ends = [{"rmin": -grid.LEVELS * scale, "rmax": grid.LEVELS * scale} for scale in scales.tolist()]
            found[node.input[1]] = [{"axis": axis} | ends[0], *ends[1:]]
    return found


def _ends(chosen: Mapping[str, tuple[float, float]]) -> dict[str, list[dict[str, Any]]]:
    """Return ranges of activations in the form onnxruntime's quantizer takes."""
    return {name: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for name, (low, high) in chosen.items()}


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes of the head (preprocessing) and of the tail (pooling, projection, L2 norm)."""
    graph = inferred(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    return sorted({node.name for node in [*_head(graph, constants), *_tail(graph, constants)]})


def _head(graph: onnx.GraphProto, constants: set[str]) -> Iterator[Any]:
    known = {INPUT}
    for node in graph.node:
        if node.op_type in _HEAD and known & set(node.input) and known | constants >= set(node.input):
            known.update(node.output)
            yield node


def _tail(graph: onnx.GraphProto, constants: set[str]) -> Iterator[Any]:
    """Yield nodes from the outputs backwards, up to the last whose result is a feature map or has an activation."""
    shapes = shapes_of(graph)
    maker = {name: node for node in graph.node for name in node.output}
    ends = {output.name for output in graph.output}
    waiting = sorted(ends)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        node = maker.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        computed = [source for source in node.input if source and source not in constants]
        if _in_tail(node, computed, shapes) or (node.op_type == "Transpose" and name in ends):
            yield node
            waiting.extend(computed)


def _in_tail(node: Any, computed: list[str], shapes: dict[str, list[int]]) -> bool:
    if node.op_type in _TRUNK:
        return False
    if node.op_type in _GEM or not _is_map(shapes.get(node.output[0], [])):
        return True
    if node.op_type in ("Mul", "Div"):
        return len(computed) == 2 and (computed[0] == computed[1] or _is_norm(*(shapes.get(c, []) for c in computed)))
    return False


def _is_norm(one: list[int], other: list[int]) -> bool:
    """Return whether one shape equals the other with 1 channel; a squeeze-and-excite gate has no positions."""
    differing = [{a, b} for a, b in zip(one[1:], other[1:], strict=False) if a != b]
    return len(one) == len(other) and len(differing) == 1 and 1 in differing[0]


def _is_map(shape: list[int]) -> bool:
    """Return whether a tensor [batch, ...] has positions or tokens, and channels; the norm of each has no channels."""
    if len(shape) == 3:  # tokens; the norm of each has one element
        return 1 not in shape[1:]
    return len(shape) == 4 and sum(size != 1 for size in shape[1:]) > 1 and 1 not in (shape[1], shape[3])
