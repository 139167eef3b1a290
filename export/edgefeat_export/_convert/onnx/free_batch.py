"""Give a translated ONNX model, which is made for one image, a free batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edgefeat_export._convert.onnx.batch_axis import batch_axes, reshaped_axis
from edgefeat_export._convert.onnx.shapes import inferred, shapes_of

__all__ = ["BATCH", "add_constant", "constants_of", "free_batch"]

#: The name of the free dimension.
BATCH = "batch"

Constants = Mapping[str, npt.NDArray[Any]]

#: Operators that treat all sides but the last alike, whatever their number.
_ANY_RANK = frozenset({"Add", "Sub", "Mul", "Div", "MatMul", "Erf", "Tanh", "Sigmoid", "Relu", "Clip", "Neg", "Sqrt"})


def free_batch(model: onnx.ModelProto) -> None:
    """Replace the TFLite model's batch of 1 with a free batch, in place."""
    graph = model.graph
    shapes = shapes_of(inferred(model))
    for end in [*graph.input, *graph.output]:
        end.type.tensor_type.shape.dim[0].dim_param = BATCH
    # These shapes have a batch of 1; readers infer them again.
    del graph.value_info[:]
    constants = constants_of(graph)
    moved = batch_axes(graph, constants, shapes)
    _split_gemms(graph, constants, shapes)
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in constants and node.input[0] not in constants:
            old = constants[node.input[1]].reshape(-1).tolist()
            new = _moved(node, old, shapes, moved) or _freed(graph, node, old, shapes)
            if new != old:
                node.input[1] = add_constant(graph, node.output[0] + "/shape", new)
        elif node.op_type == "Slice" and len(node.input) > 2:
            _keep_batch(graph, node, constants)
    _repeat_constants(graph, constants)


def _split_gemms(graph: onnx.GraphProto, constants: Constants, shapes: Mapping[str, Sequence[int]]) -> None:
    """Write a dense layer on the tokens of one image as MatMul and Add: Gemm takes two sides, without a batch."""
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        named = {attribute.name: attribute.i or attribute.f for attribute in node.attribute}
        plain = named.get("alpha", 1) == 1 and named.get("beta", 1) == 1 and not named.get("transA")
        tokens = shapes.get(node.input[0], [1])[0] if node.op_type == "Gemm" else 1
        if tokens <= 1 or not plain or node.input[1] not in constants:
            graph.node.append(node)
            continue
        matrix = constants[node.input[1]]
        weights, product = f"{node.output[0]}/weights", f"{node.output[0]}/product"
        graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(matrix.T if named.get("transB") else matrix), weights)
        )
        bias = node.input[2] if len(node.input) > 2 else ""
        made = node.output[0] if not bias else product
        graph.node.append(onnx.helper.make_node("MatMul", [node.input[0], weights], [made], node.name))
        if bias:
            graph.node.append(onnx.helper.make_node("Add", [product, bias], [node.output[0]], product))


def _keep_batch(graph: onnx.GraphProto, node: Any, constants: Constants) -> None:
    """Let a Slice that takes the batch of 1 whole take any batch whole."""
    starts, ends = (constants.get(name) for name in node.input[1:3])
    axes = constants.get(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    if starts is None or ends is None:
        return
    places = np.arange(len(starts)) if axes is None else axes
    whole = (places == 0) & (starts == 0) & (ends == 1)
    if whole.any():
        node.input[2] = add_constant(graph, node.output[0] + "/ends", np.where(whole, np.iinfo(np.int64).max, ends))


def _moved(
    node: Any, target: Sequence[int], shapes: Mapping[str, Sequence[int]], moved: Mapping[str, int]
) -> list[int] | None:
    """Return the target shape of a Reshape whose batch is not its first side, before or after; else None."""
    source, made = shapes.get(node.input[0]), shapes.get(node.output[0])
    if source is None or made is None or 0 in target or 0 in made:
        return None
    axis = reshaped_axis(source, moved.get(node.input[0], 0), made)
    return None if not axis else [*made[:axis], -1, *made[axis + 1 :]]


def _freed(graph: onnx.GraphProto, node: Any, target: Sequence[int], shapes: Mapping[str, Sequence[int]]) -> list[int]:
    """Return the target shape of a Reshape for any batch. 0 means "as in the input", -1 what is left.

    Windows of an image may be joined to the batch: then the first side is a multiple of it.
    """
    source = shapes.get(node.input[0])
    if source is not None and 0 not in source and -1 in target[1:]:
        left = math.prod(source) // math.prod(side for side in target if side != -1)
        target = [left if side == -1 else side for side in target]
    if source is not None and source[:1] == [1] and target and target[0] not in (1, -1) and 0 not in source:
        if len(target) < len(source) and [*source] == [1] * (len(source) - len(target)) + [*target]:
            return [0, *source[1:]]  # only the batch of 1 was dropped
        if _keeps_rank(graph, node.output[0], len(target), shapes):
            return [0, *target]
    if source is not None and source[:1] == [1] and target[:1] == [-1] and 0 not in source and 0 not in target:
        tokens = math.prod(source) // math.prod(target[1:])
        if tokens > 1 and _keeps_rank(graph, node.output[0], len(target), shapes):
            return [0, tokens, *target[1:]]  # the tokens of each image, for a dense layer
    if not target or -1 in target:
        return [*target] if not target or target[0] != 1 else [0, *target[1:]]
    known = source is not None and len(source) > 0 and 0 not in source
    if known and source is not None and source[0] != target[0]:
        return [-1, *target[1:]] if 0 not in target else [*target]
    if target[0] == 1 or (known and math.prod(target[1:]) > 0):
        return [0, *target[1:]]
    return [*target]


def _keeps_rank(graph: onnx.GraphProto, name: str, rank: int, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Return whether all that reads a tensor of that rank works the same with one more side.

    That is all up to the next Reshape, or to where the tensor is joined to one that has this side already.
    """
    waiting, seen = [name], set()
    while waiting:
        name = waiting.pop()
        if any(name == output.name for output in graph.output):
            return False
        for node in graph.node:
            if name not in node.input or node.op_type == "Reshape":
                continue
            if node.op_type not in _ANY_RANK or (node.op_type == "MatMul" and node.input[0] != name):
                return False
            joined = len(shapes.get(node.output[0], ())) > rank
            waiting.extend(output for output in node.output if output not in seen and not joined)
            seen.update(node.output)
    return True


def _repeat_constants(graph: onnx.GraphProto, constants: Constants) -> None:
    """Repeat constants that are joined to computed values, such as a class token, for each image of the batch."""
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        computed = [name for name in node.input if name not in constants]
        if node.op_type == "Concat" and axis != 0 and computed:
            for index, name in enumerate(node.input):
                if name in constants and constants[name].ndim > 1 and constants[name].shape[0] == 1:
                    node.input[index] = repeated = f"{node.output[0]}/repeated{index}"
                    graph.node.extend(_repeat(graph, name, constants[name].ndim, computed[0], repeated))
        graph.node.append(node)


def _repeat(graph: onnx.GraphProto, constant: str, rank: int, like: str, output: str) -> list[onnx.NodeProto]:
    """Return nodes that repeat a constant, [1, ...], as often as `like` has rows."""
    ones = add_constant(graph, f"{output}/ones", np.ones(rank - 1))
    batch, shape = f"{output}/batch", f"{output}/shape"
    return [
        onnx.helper.make_node("Shape", [like], [batch], batch, start=0, end=1),
        onnx.helper.make_node("Concat", [batch, ones], [shape], shape, axis=0),
        onnx.helper.make_node("Expand", [constant, shape], [output], output),
    ]


def constants_of(graph: onnx.GraphProto) -> dict[str, npt.NDArray[Any]]:
    """Return the constants of a graph by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def add_constant(graph: onnx.GraphProto, name: str, values: npt.ArrayLike) -> str:
    """Add a constant of whole numbers, int64, to a graph and return its name."""
    graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
    return name
