"""Find the linear tensors of a graph whose basis can be changed without changing the features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import onnx

from edgefeat_export._quantize.correction.layers import Layer

__all__ = ["streams"]


def streams(model: onnx.ModelProto, by_node: Mapping[str, Layer]) -> list[set[str]]:
    """Return the sets of tensors that must change basis together: those that residual additions join.

    They are outputs of convolutions without an activation and inputs of convolutions; `by_node` are the layers that may
    change.
    """
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


def _is_stream(model: onnx.ModelProto, group: set[str], by_node: Mapping[str, Layer]) -> bool:
    """Return whether everything that writes or reads the tensors is an addition or a layer that may change."""
    made = set()
    if group & {output.name for output in model.graph.output}:
        return False
    for node in model.graph.node:
        if group & set(node.output):
            made.update(node.output)
            if node.op_type != "Add" and not _mixes(by_node.get(node.name)):
                return False
        if group & set(node.input) and node.op_type != "Add" and not _reads(node, group, by_node):
            return False
    return made >= group


def _mixes(layer: Layer | None) -> bool:
    """Return whether each output of the layer depends on all its inputs."""
    return layer is not None and layer.kind == "Conv" and layer.groups == 1


def _reads(node: Any, group: set[str], by_node: Mapping[str, Layer]) -> bool:
    """Return whether the node is such a layer and has a tensor of the group as its input, not as its weights."""
    return _mixes(by_node.get(node.name)) and node.input[0] in group and node.input[1] not in group
