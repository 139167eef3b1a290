"""The graph of one image that a file holds, in plain operations, whatever file it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.saved.code.operations import (
    check_operations,
    depending,
    needed_nodes,
    node_of,
    refused,
)
from edgefeat_export._models.saved.formats.graphs.rewriting.branches import take_branches
from edgefeat_export._models.saved.formats.graphs.rewriting.fused import FUSED, unfused
from edgefeat_export._models.saved.formats.graphs.rewriting.inputs import let_in, may_be_image
from edgefeat_export._models.saved.formats.graphs.rewriting.plain import make_plain

__all__ = ["Graph", "GraphError", "check", "image_graph"]

#: Operations that decide what is computed, or repeat it.
_CONTROL = frozenset(
    """
    Case Enter Exit If LoopCond Merge NextIteration StatelessCase StatelessIf StatelessWhile Switch While
    """.split()
)
#: Operations that are no outputs, though none takes what they give.
_NO_OUTPUTS = ("Const", "NoOp", "Placeholder")


class GraphError(Exception):
    """What keeps a graph from being loaded, as a message for the user."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes that compute the outputs, the only placeholder among them, and the names of inputs and outputs.

    `definition` lacks the placeholder. `outputs` are the tensors by name; the file has `named` them, or they are all
    that may be. `remedy` ends a message with how to cut a graph that cannot be used whole.
    """

    definition: Any
    placeholder: Any
    source: str
    outputs: Mapping[str, str]
    named: bool
    remedy: str

    @property
    def constants(self) -> list[Any]:
        return [node for node in self.definition.node if node.op == "Const"]

    def fill(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Give the constants their values, in place."""
        import tensorflow as tf

        for node in self.constants:
            if node.name in weights:
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))

    def of_any_batch(self, count: int) -> Graph:
        """Return the graph whose Reshape operations infer an axis that now has `count`, the number of images."""
        import tensorflow as tf

        definition = type(self.definition)()
        definition.CopyFrom(self.definition)
        shapes = {node_of(node.input[1]) for node in definition.node if node.op == "Reshape" and len(node.input) == 2}
        for node in definition.node:
            value = tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" and node.name in shapes else None
            if value is not None and value.ndim == 1 and value.size and value[0] == count and -1 not in value:
                inferred = np.concatenate([[-1], value[1:]]).astype(value.dtype)
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(inferred))
        return replace(self, definition=definition)


def image_graph(
    path: Path, whole: Any, inputs: Mapping[str, Any], outputs: Mapping[str, str], *, divided: bool
) -> Graph:
    """Return the graph of the operations that compute `outputs`, all that none takes if there are none.

    `inputs` is what the file says of the placeholders, by name. `whole`, a GraphDef, is changed. If the graph is to be
    `divided`, and more than computing from one image leads to the outputs, they are the last tensors before that.
    Raises ArgumentError if they do not take one tensor, and GraphError if the graph is damaged.
    """
    from tensorflow.core.framework import graph_pb2

    if not any(node.op.startswith("Placeholder") for node in whole.node) and not inputs:
        raise ArgumentError(f"model {path} takes no input (allowed: one image)")
    named = bool(outputs)
    let_in(whole, {node_of(info["name"]) for info in inputs.values()})
    left_out = take_branches(whole)
    make_plain(whole)
    outputs = outputs or _ends(whole, depending(whole, [node.name for node in whole.node if node.op == "Placeholder"]))
    outputs = {key: tensor for key, tensor in outputs.items() if node_of(tensor) not in left_out}
    missing = sorted({node_of(tensor) for tensor in outputs.values()} - {node.name for node in whole.node})
    if missing or not outputs:
        raise GraphError(f"its graph has no operation {missing[0]!r}" if missing else "its graph has no outputs")
    before = _before_others(whole, outputs, [node_of(info["name"]) for info in inputs.values()])
    remedy = f", or cut before that: edgefeat layers {path} shows where, and --layer cuts" if before else ""
    if divided and before:
        outputs, named, remedy = before, False, ""
    needed = {node.name for node in needed_nodes(whole, outputs.values())}
    try:
        nodes = unfused(node for node in whole.node if node.name in needed)
    except ValueError as error:
        raise GraphError(str(error)) from error
    source, name = _source(path, nodes, inputs, remedy)
    definition = graph_pb2.GraphDef(node=[node for node in nodes if node.op != "Placeholder"], versions=whole.versions)
    definition.library.CopyFrom(whole.library)
    return Graph(definition, source, name, outputs, named, remedy)


def _ends(graph: Any, among: Collection[str]) -> dict[str, str]:
    """Return those of the nodes `among` that compute, and whose tensors none of them takes, each by its name."""
    taken = {node_of(tensor) for node in graph.node if node.name in among for tensor in node.input}
    found = (node for node in graph.node if node.name in among and node.op not in _NO_OUTPUTS)
    return {node.name: node.name for node in found if node.name not in taken}


def _before_others(graph: Any, outputs: Mapping[str, str], named: Collection[str]) -> dict[str, str]:
    """Return the last tensors that are only computed from an image; none if that is true of `outputs`.

    Graphs of TensorFlow 1 often have a dropout at their end, with its own input or a switch. `named` are the inputs
    that the file names.
    """
    needed = {node.name: node for node in needed_nodes(graph, outputs.values())}
    sources = [name for name, node in needed.items() if node.op == "Placeholder"]
    images = [name for name in sources if may_be_image(needed[name])]
    if not images:
        return {}
    image = max(images, key=lambda name: (name in named, len(depending(graph, [name]))))
    others = {name for name, node in needed.items() if node.op in _CONTROL} | ({*sources} - {image})
    foreign = refused(graph) - {name for name, node in needed.items() if node.op in FUSED}
    beyond = depending(graph, (foreign & needed.keys()) | others) & needed.keys()
    if not beyond:
        return {}
    among = depending(graph, [image]) & needed.keys() - beyond
    border = {node_of(tensor) for name in beyond for tensor in needed[name].input}
    found = {name: name for name in needed if name in among & border and needed[name].op not in _NO_OUTPUTS}
    return found | _ends(graph, among)


def _source(path: Path, nodes: Sequence[Any], inputs: Mapping[str, Any], remedy: str) -> tuple[Any, str]:
    """Return the only placeholder among the nodes, with its shape, and the name of the input."""
    from google.protobuf import json_format

    sources = [node for node in nodes if node.op == "Placeholder"]
    names = {node_of(info["name"]): key for key, info in inputs.items()}
    named = [names.get(node.name, node.name) for node in sources]
    if len(sources) != 1:
        said = f"{len(sources)} inputs, {', '.join(named)}" if sources else "no input"
        raise ArgumentError(f"model {path} takes {said} (allowed: one image){remedy}")
    shape = sources[0].attr["shape"].shape
    if not shape.dim:
        shape.Clear()
        shape.unknown_rank = named[0] not in inputs
    if not shape.dim and named[0] in inputs:
        json_format.ParseDict(inputs[named[0]].get("tensorShape") or {}, shape, ignore_unknown_fields=True)
    return sources[0], named[0]


def check(path: Path, graph: Graph) -> None:
    """Raise ExportError if the graph decides what it computes, or does more than compute."""
    control = sorted({node.op for node in graph.definition.node} & _CONTROL)
    if control:
        raise ExportError(
            f"model {path} decides or repeats what it computes, by {', '.join(control)} (allowed: graphs without "
            f"control flow): convert only the network{graph.remedy}"
        )
    trained = next((node.name for node in graph.definition.node if _is_trained(node)), None)
    if trained is not None:
        raise ExportError(
            f"model {path} is a graph for training: {trained!r} normalizes an image by the others beside it (allowed: "
            "graphs for inference): freeze or save the graph that is built with training off"
        )
    check_operations(path, graph.definition, graph.outputs.values(), remedy=graph.remedy)


def _is_trained(node: Any) -> bool:
    """Return whether a batch normalization computes mean and variance itself, as it does unless it is told not to."""
    return node.op.startswith("FusedBatchNorm") and ("is_training" not in node.attr or node.attr["is_training"].b)
