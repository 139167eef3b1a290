"""The pass over a float32 model that rounds weights to the int8 grid and corrects biases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgefeat._engines.device.memory import trim_heap
from edgefeat_export._convert import grid
from edgefeat_export._convert.graph import INPUT
from edgefeat_export._quantize.correction import moments, ranges, rounding
from edgefeat_export._quantize.correction.basis import in_better_bases
from edgefeat_export._quantize.correction.execution import (
    CHUNK,
    Chunks,
    Rounder,
    extremes,
    held_bytes,
    release,
    run_node,
)
from edgefeat_export._quantize.correction.layers import ACTIVATIONS, Floats, Layer, uses
from edgefeat_export._quantize.correction.pieces import Correction

__all__ = ["corrected_constants"]

#: Bytes that the tensors of all images may take, in both streams together: this less some copies of the weights, which
#: are in memory at the same time, but no less than the second number.
_HELD, _LEAST_HELD = 1_500_000_000, 700_000_000
_COPIES = 4

#: Inputs of a dense layer that are rounded together; an even number, so that partners stay together.
_DENSE_INPUTS = 8192

#: Operators that only move or select values: their result is on the grid of their input.
_MOVING = frozenset(
    {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "MaxPool", "Pad", "Slice", "Split", "Identity"}
)


@dataclass(slots=True)
class _Pass:
    """Two streams of values through one graph: with float weights, and as the int8 file computes."""

    model: onnx.ModelProto
    correction: Correction
    layers: dict[str, Layer]
    kept: Collection[str]
    known: dict[str, NDArray[Any]]
    rounder: Rounder
    random: np.random.Generator
    changed: dict[str, NDArray[Any]]
    ranges: dict[str, ranges.Range]


def corrected_constants(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    known: Mapping[str, NDArray[Any]],
    kept: Collection[str],
    pictures: NDArray[np.uint8],
    correction: Correction,
) -> tuple[dict[str, NDArray[Any]], dict[str, ranges.Range]]:
    """Return new values of the weights and biases of `layers`, by name, and the ranges of activations; `kept` nodes do
    not change.

    `known` are the constants of `model`.

    The graph is processed once, in order. At each layer the weights are rounded, given the inputs that the earlier
    layers with rounded weights and activations compute; then the bias absorbs the remaining difference in the mean of
    each output (Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization through Weight Equalization and Bias
    Correction, 2019; Finkelstein, Almog, Grobman: Fighting Quantization Bias with Bias, 2019).
    """
    based = in_better_bases(model, layers, known, kept, pictures) if correction.basis else {}
    trim_heap()  # of the samples and the session that gave them
    known = {**known, **based}
    weights = sum(array.nbytes for array in known.values())
    held = max(_LEAST_HELD, _HELD - _COPIES * weights)
    count = max(1, min(len(pictures), held // (2 * held_bytes(model, known, pictures[0]))))
    walk = _Pass(
        model=model,
        correction=correction,
        layers={layer.node: layer for layer in layers if layer.node not in kept},
        kept=kept,
        known=known,
        rounder=Rounder.make(model.opset_import),
        random=np.random.default_rng(0),
        changed={},
        ranges={},
    )
    _walk(walk, [pictures[:count][start : start + CHUNK] for start in range(0, count, CHUNK)])
    return based | walk.changed, walk.ranges


def _walk(walk: _Pass, chunks: Chunks) -> None:
    """Fill `walk.changed` and `walk.ranges`; `chunks` are the images."""
    exact: dict[str, Chunks] = {INPUT: chunks}
    rounded: dict[str, Chunks] = {INPUT: chunks}
    waiting = uses(walk.model)
    adding = {layer.adding: layer for layer in walk.layers.values()}
    for node in walk.model.graph.node:
        exact_inputs = _inputs(node, exact)
        true = run_node(node, walk.model.opset_import, walk.known, exact_inputs)
        if node.name in walk.layers:
            layer = walk.layers[node.name]
            walk.changed[layer.weight] = _rounded_weight(walk, layer, node, rounded[node.input[0]])
        same = all(exact_inputs[name] is rounded[name] for name in exact_inputs)
        if same and node.name not in walk.layers and not _is_rounded(walk, node):
            ours = true
        else:
            ours = run_node(node, walk.model.opset_import, walk.known | walk.changed, _inputs(node, rounded))
        if node.name in adding and walk.correction.bias:
            _shift(walk, adding[node.name], node.output[0], true, ours)
        if _is_rounded(walk, node):
            for name, values in ours.items():
                if values[0].dtype == np.float32:
                    walk.rounder.round(values, *_range(walk, name, true[name]))
        exact |= true
        rounded |= ours
        release(node, waiting, exact, rounded)


def _range(walk: _Pass, name: str, true: Chunks) -> ranges.Range:
    """Return the range in which the tensor `name` is rounded, and record it if it is not that of the values `true`."""
    if not walk.correction.ranges:
        return extremes(true)
    users = [node for node in walk.model.graph.node if name in node.input]
    is_output = any(output.name == name for output in walk.model.graph.output)
    found = ranges.best_range(true, None if is_output else ranges.following(users), walk.random)
    if found is None:
        return extremes(true)
    walk.ranges[name] = found
    return found


def _inputs(node: Any, values: dict[str, Chunks]) -> dict[str, Chunks]:
    """Return the node's computed inputs, by name."""
    return {name: values[name] for name in node.input if name in values}


def _rounded_weight(walk: _Pass, layer: Layer, node: Any, inputs: Chunks) -> Floats:
    """Return the layer's weights on their grid, given the `inputs` that the int8 file computes."""
    weight = walk.known[layer.weight]
    matrix = layer.matrix(weight)
    other = _partners(layer, weight) if walk.correction.pairs else None
    scale = grid.scales(matrix, other)
    if walk.correction.rounding and layer.kind == "Conv":
        spread = moments.covariance(layer, node, weight.shape[1:], inputs, walk.random)
        levels = rounding.round_with_feedback(matrix, scale, spread, other)
    elif walk.correction.rounding:
        levels = _rounded_dense(matrix, scale, inputs, other, walk.random)
    else:
        levels = rounding.nearest(matrix, scale, other)
    return layer.weights(levels * scale[..., np.newaxis], weight)


def _rounded_dense(
    matrix: Floats,
    scale: NDArray[np.float64],
    inputs: Chunks,
    other: NDArray[np.intp] | None,
    random: np.random.Generator,
) -> NDArray[np.int8]:
    """Return the integers of a dense layer's `matrix` (1, outputs, inputs), rounded by groups of its inputs.

    Between inputs of different groups no covariance is used: for all of VGG16's `fc1` it would take 2.5 GB.
    """
    rows = moments.sampled_rows(inputs, random)
    levels = np.empty(matrix.shape, np.int8)
    for start in range(0, matrix.shape[2], _DENSE_INPUTS):
        part = slice(start, start + _DENSE_INPUTS)
        own = None if other is None else other[part] - start  # partners are neighbours
        spread = moments.row_covariance(rows[:, part])
        levels[..., part] = rounding.round_with_feedback(matrix[..., part], scale, spread, own)
    return levels


def _partners(layer: Layer, weight: Floats) -> NDArray[np.intp] | None:
    """Return the partner of each weight, or None for a depthwise convolution, which is not computed in pairs."""
    if layer.kind == "Conv":
        alone = weight.shape[1] == 1 and layer.groups == weight.shape[0]
        return None if alone else grid.partners(int(np.prod(weight.shape[1:])), weight.shape[1])
    inputs = weight.shape[0 if layer.kind == "MatMul" else 1]
    return grid.partners(inputs, inputs)


def _shift(walk: _Pass, layer: Layer, output: str, true: dict[str, Chunks], ours: dict[str, Chunks]) -> None:
    """Give each output of the layer the mean it has with float weights."""
    axis = 1 if layer.kind == "Conv" else -1
    difference = _means(true[output], axis) - _means(ours[output], axis)
    walk.changed[layer.bias] = (walk.known[layer.bias] + difference).astype(np.float32)
    shape = [1, -1] + [1] * (true[output][0].ndim - 2) if axis == 1 else [-1]
    added = difference.astype(np.float32).reshape(shape)
    for place, chunk in enumerate(ours[output]):  # one by one: in memory there is room for each stream once
        ours[output][place] = chunk + added


def _means(chunks: Chunks, axis: int) -> NDArray[np.float64]:
    """Return the mean of each channel."""
    others = tuple(i for i in range(chunks[0].ndim) if i not in (0, axis % chunks[0].ndim))
    rows = [chunk.mean(axis=others, dtype=np.float32) if others else chunk for chunk in chunks]
    return np.asarray(np.concatenate(rows).mean(axis=0, dtype=np.float64))


def _is_rounded(walk: _Pass, node: Any) -> bool:
    """Return whether the int8 file has this node's own result in 8 bits, not only the result of its activation."""
    users = [user for user in walk.model.graph.node if set(node.output) & set(user.input)]
    if node.name in walk.layers and len(users) == 1 and users[0].op_type in ACTIVATIONS:
        return False
    if any(layer.node == node.name != layer.adding for layer in walk.layers.values()):
        return False
    if node.name not in walk.kept:
        return node.op_type not in _MOVING
    return any(user.name not in walk.kept for user in users)
