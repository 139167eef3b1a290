"""Scaling the channels of linear tensors so that each uses more of the 256 levels; the features stay the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from edgefeat_export._convert.graph import INPUT
from edgefeat_export._correct.execute import CHUNK
from edgefeat_export._correct.layers import Layer, constants

__all__ = ["equalized_constants", "streams"]

#: 1 gives all channels of a stream the same range, 0 leaves them; the finer the activations, the coarser the weights
#: that read them.
POWER = 0.5


def equalized_constants(
    model: onnx.ModelProto, layers: Sequence[Layer], kept: Collection[str], pictures: NDArray[np.uint8]
) -> dict[str, NDArray[Any]]:
    """New constants with which the model gives the same features, from streams whose channels are more alike.

    A stream is what residual additions join: its tensors come out of convolutions without an activation and go into
    convolutions. Dividing a channel of all of them by a number and multiplying what reads it is exact, which it is not
    where a ReLU6 lies between (Nagel et al., 2019, section 4.1; Meller et al.: Same, Same But Different, 2019).
    """
    by_node = {layer.node: layer for layer in layers if layer.kind == "Conv"}
    found = [stream for stream in streams(model, by_node) if not _inside(model, stream, kept)]
    if not found:
        return {}
    magnitudes = _magnitudes(model, sorted(set().union(*found)), pictures)
    values = constants(model)
    changed: dict[str, NDArray[Any]] = {}
    for stream in found:
        scale = _scale([magnitudes[name] for name in stream])
        for node in model.graph.node:
            layer = by_node.get(node.name)
            if layer is None:
                continue
            if node.output[0] in stream:
                weight, bias = (changed.get(name, values[name]) for name in (layer.weight, layer.bias))
                changed[layer.weight] = (weight / scale[:, None, None, None]).astype(np.float32)
                changed[layer.bias] = (bias / scale).astype(np.float32)
            if node.input[0] in stream:
                weight = changed.get(layer.weight, values[layer.weight])
                read = scale[:, None, None, None] if weight.shape[1] == 1 else scale[None, :, None, None]
                changed[layer.weight] = (weight * read).astype(np.float32)
    return changed


def streams(model: onnx.ModelProto, by_node: dict[str, Layer]) -> list[set[str]]:
    """The sets of tensors that can be scaled together."""
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for node in model.graph.node:
        if node.op_type == "Add":
            for name in node.input:
                root[find(name)] = find(node.output[0])
        elif node.name in by_node:
            find(node.output[0])
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in root:
        groups[find(name)].add(name)
    return [group for group in groups.values() if _is_stream(model, group, by_node)]


def _is_stream(model: onnx.ModelProto, group: set[str], by_node: dict[str, Layer]) -> bool:
    made = set()
    if group & {output.name for output in model.graph.output}:
        return False
    for node in model.graph.node:
        if group & set(node.output):
            made.update(node.output)
            if node.op_type != "Add" and node.name not in by_node:
                return False
        if group & set(node.input) and node.op_type != "Add" and not _reads(node, group, by_node):
            return False
    return made >= group


def _reads(node: Any, group: set[str], by_node: dict[str, Layer]) -> bool:
    """Whether the node is a convolution of the group's channels that a number for each of them can go into."""
    layer = by_node.get(node.name)
    return layer is not None and node.input[0] in group and node.input[1] not in group and layer.groups == 1


def _inside(model: onnx.ModelProto, stream: set[str], kept: Collection[str]) -> bool:
    """Whether nothing of the stream becomes int8."""
    return all(node.name in kept for node in _touching(model, stream))


def _touching(model: onnx.ModelProto, stream: set[str]) -> Iterator[Any]:
    return (node for node in model.graph.node if stream & {*node.input, *node.output})


def _magnitudes(
    model: onnx.ModelProto, names: Sequence[str], pictures: NDArray[np.uint8]
) -> dict[str, NDArray[np.float64]]:
    """The greatest magnitude of every channel of the named tensors."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    most = {name: np.array(0.0) for name in names}
    for start in range(0, len(pictures), CHUNK):
        for name, tensor in zip(names, session.run(None, {INPUT: pictures[start : start + CHUNK]}), strict=True):
            most[name] = np.maximum(most[name], np.maximum(tensor.max((0, 2, 3)), -tensor.min((0, 2, 3))))
    return most


def _scale(magnitudes: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """What to divide each channel by: its share of the greatest, averaged over the tensors of the stream."""
    shares = [np.maximum(magnitude / magnitude.max(), 1e-2) for magnitude in magnitudes if magnitude.max() > 0]
    return np.ones(1) if not shares else np.asarray(np.exp(np.mean(np.log(shares), axis=0)) ** POWER)
