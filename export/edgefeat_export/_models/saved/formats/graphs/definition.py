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
    has_value,
    needed_nodes,
    node_of,
    refused,
)
from edgefeat_export._models.saved.formats.graphs.branches import take_branches
from edgefeat_export._models.saved.formats.graphs.fused import FUSED, unfused

__all__ = ["Graph", "GraphError", "check", "ends", "image_graph"]

#: Operations that decide what is computed, or repeat it.
_CONTROL = frozenset(
    """
    Case Enter Exit If LoopCond Merge NextIteration StatelessCase StatelessIf StatelessWhile Switch While
    """.split()
)
#: Operations that are no outputs, though none takes what they give.
_NO_OUTPUTS = ("Const", "NoOp", "Placeholder")
_IMAGE_RANK = 4
#: What is in the names of inputs that say whether the network is trained, such as `phase_train` of FaceNet.
_TRAINING = ("learning_phase", "train")


class GraphError(Exception):
    """What keeps a graph from being loaded, as a message for the user."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes that compute the outputs, the only placeholder among them, and the names of inputs and outputs.

    `definition` lacks the placeholder. `outputs` are the tensors by name.
    """

    definition: Any
    placeholder: Any
    source: str
    outputs: Mapping[str, str]

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

    outputs = outputs or ends(whole)
    _plain(whole, {node_of(info["name"]) for info in inputs.values()})
    left_out = take_branches(whole)
    outputs = {key: tensor for key, tensor in outputs.items() if node_of(tensor) not in left_out}
    missing = sorted({node_of(tensor) for tensor in outputs.values()} - {node.name for node in whole.node})
    if missing or not outputs:
        raise GraphError(f"its graph has no operation {missing[0]!r}" if missing else "its graph has no outputs")
    if divided:
        outputs = _before_others(whole, outputs)
    needed = {node.name for node in needed_nodes(whole, outputs.values())}
    try:
        nodes = unfused(node for node in whole.node if node.name in needed)
    except ValueError as error:
        raise GraphError(str(error)) from error
    source, name = _source(path, nodes, inputs)
    definition = graph_pb2.GraphDef(node=[node for node in nodes if node.op != "Placeholder"], versions=whole.versions)
    definition.library.CopyFrom(whole.library)
    return Graph(definition, source, name, outputs)


def ends(graph: Any) -> dict[str, str]:
    """Return the operations that compute, and whose tensors none takes, each by its name."""
    return {name: name for name in _ends(graph, {node.name for node in graph.node})}


def _ends(graph: Any, among: Collection[str]) -> list[str]:
    """Return those of the nodes `among` that compute, and whose tensors none of them takes."""
    taken = {node_of(tensor) for node in graph.node if node.name in among for tensor in node.input}
    found = (node for node in graph.node if node.name in among and node.op not in _NO_OUTPUTS)
    return [node.name for node in found if node.name not in taken]


def _before_others(graph: Any, outputs: Mapping[str, str]) -> Mapping[str, str]:
    """Return the last tensors that are only computed from an image; `outputs` if they are, or if there are none.

    Graphs of TensorFlow 1 often have a dropout at their end, with its own input or a switch.
    """
    sources = [node for node in graph.node if node.op == "Placeholder"]
    images = [node.name for node in sources if len(node.attr["shape"].shape.dim) == _IMAGE_RANK]
    if not images:
        return outputs
    control = {node.name for node in graph.node if node.op in _CONTROL}
    foreign = refused(graph) - {node.name for node in graph.node if node.op in FUSED}
    others = {node.name for node in sources} - set(images[:1])
    beyond = depending(graph, foreign | control | others)
    if beyond.isdisjoint(map(node_of, outputs.values())):
        return outputs
    among = depending(graph, images[:1]) - beyond
    border = {node_of(tensor) for node in graph.node if node.name in beyond for tensor in node.input}
    found = [node.name for node in graph.node if node.name in among & border and node.op not in _NO_OUTPUTS]
    return {name: name for name in (*found, *_ends(graph, among))} or outputs


def _source(path: Path, nodes: Sequence[Any], inputs: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the only placeholder among the nodes, with its shape, and the name of the input."""
    from google.protobuf import json_format

    sources = [node for node in nodes if node.op == "Placeholder"]
    names = {node_of(info["name"]): key for key, info in inputs.items()}
    named = [names.get(node.name, node.name) for node in sources]
    if len(sources) != 1:
        said = f"{len(sources)} inputs, {', '.join(named)}" if sources else "no input"
        cut = f"; or cut before the others are taken: {_cut(path)}" if len(sources) > 1 else ""
        raise ArgumentError(f"model {path} takes {said} (allowed: one image){cut}")
    shape = sources[0].attr["shape"].shape
    if not shape.dim:
        shape.Clear()
        shape.unknown_rank = named[0] not in inputs
    if not shape.dim and named[0] in inputs:
        json_format.ParseDict(inputs[named[0]].get("tensorShape") or {}, shape, ignore_unknown_fields=True)
    return sources[0], named[0]


def _cut(path: Path) -> str:
    return f"edgefeat layers {path} shows where, and --layer cuts"


def _plain(graph: Any, sources: Collection[str]) -> None:
    """Leave out, in place, where an operation runs and when, and the defaults of `sources`; other inputs are theirs.

    Inputs that say whether the network is trained are false.
    Integers have 32 bits, as in TensorFlow.js: TFLite lacks some operations on longer ones. A graph without a version
    is taken as one of the TensorFlow that is installed.
    """
    import tensorflow as tf

    for node in graph.node:
        node.device = ""
        inputs = [tensor for tensor in node.input if not tensor.startswith("^")]
        del node.input[:]
        node.input.extend(inputs)
        for key in [key for key in node.attr if key.startswith("_")]:
            del node.attr[key]
        if node.op == "PlaceholderWithDefault" and node.name in sources:
            node.op = "Placeholder"
            del node.input[:]
        elif node.op == "PlaceholderWithDefault":
            node.op = "Identity"
            node.attr["T"].CopyFrom(node.attr["dtype"])
            del node.attr["dtype"], node.attr["shape"]
        elif node.op == "Placeholder" and _is_bool(node) and any(part in node.name for part in _TRAINING):
            node.op = "Const"
            del node.attr["shape"]
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(False))
        for value in node.attr.values():
            _narrow(value)
    if not graph.versions.producer:
        graph.versions.producer = tf.version.GRAPH_DEF_VERSION


def _is_bool(node: Any) -> bool:
    import tensorflow as tf

    return bool(node.attr["dtype"].type == tf.bool.as_datatype_enum)


def _narrow(value: Any) -> None:
    """Make 32 bits of 64 in an attribute, in place, where it is an integer type or a constant of one."""
    import tensorflow as tf

    long, short = tf.int64.as_datatype_enum, tf.int32.as_datatype_enum
    if value.type == long:
        value.type = short
    if long in value.list.type:
        value.list.type[:] = [short if kind == long else kind for kind in value.list.type]
    if value.tensor.dtype == long:
        if has_value(value.tensor):
            value.tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(value.tensor).astype(np.int32)))
        value.tensor.dtype = short


def check(path: Path, graph: Graph) -> None:
    """Raise ExportError if the graph decides what it computes, or does more than compute."""
    control = sorted({node.op for node in graph.definition.node} & _CONTROL)
    remedy = f", or cut before that: {_cut(path)}"
    if control:
        raise ExportError(
            f"model {path} decides or repeats what it computes, by {', '.join(control)} (allowed: graphs without "
            f"control flow): convert only the network{remedy}"
        )
    check_operations(path, graph.definition, graph.outputs.values(), remedy=remedy)
