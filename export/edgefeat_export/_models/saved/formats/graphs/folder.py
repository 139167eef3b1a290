"""Read a SavedModel of TensorFlow 1: the graph of a signature, with the values of its variables as constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._models.saved.code.operations import become, behind, needed_nodes, node_of
from edgefeat_export._models.saved.formats.graphs.definition import Graph, GraphError, check, image_graph
from edgefeat_export._models.saved.metadata import saved_graph

__all__ = ["folder_graph", "is_first_version"]

#: The tags of the graphs to serve and to train, and the names of a signature: of a model, and of a module of TensorFlow
#: Hub.
_SERVED, _TRAINED = "serve", "train"
_SIGNATURES = ("serving_default", "default")

#: Operations that hold a variable, and the one that reads it.
_VARIABLES = frozenset({"VarHandleOp", "Variable", "VariableV2"})
_READS = "ReadVariableOp"
_ASSIGNS = ("Assign", "AssignVariableOp")
_INPUTS = ("Placeholder", "PlaceholderWithDefault")
_PASSING = ("Identity", "RefSwitch", "Switch")


def is_first_version(folder: Path) -> bool:
    """Return whether a folder was written by TensorFlow 1, which describes no objects."""
    graphs = saved_graph(folder).meta_graphs
    return len(graphs) > 1 or any(not graph.object_graph_def.nodes for graph in graphs)


def folder_graph(path: Path, *, divided: bool) -> Graph:
    """Return the graph of the folder's signature.

    Raises as `image_graph`, and ExportError if it does more than compute.
    """
    from google.protobuf import json_format

    graphs = [graph for graph in saved_graph(path).meta_graphs if graph.signature_def]
    # A module of TensorFlow Hub has a graph without tags, and one for training.
    graphs.sort(key=lambda graph: (_SERVED not in graph.meta_info_def.tags, _TRAINED in graph.meta_info_def.tags))
    found = graphs[0] if graphs else None
    signatures = {} if found is None else {key: one for key, one in found.signature_def.items() if key[:2] != "__"}
    if found is None or not signatures:
        raise GraphError("it has no serving signature")
    name = next((name for name in _SIGNATURES if name in signatures), next(iter(sorted(signatures))))
    inputs = {key: json_format.MessageToDict(info) for key, info in signatures[name].inputs.items()}
    outputs = {key: info.name for key, info in signatures[name].outputs.items()}
    whole = found.graph_def
    _take_named(whole, signatures[name].inputs.values())
    _fill(whole, outputs.values(), path / "variables" / "variables", _keys(whole, found.saver_def.restore_op_name))
    graph = image_graph(path, whole, inputs, outputs, divided=divided)
    lacking = next((node.name for node in graph.definition.node if node.op in _VARIABLES), None)
    if lacking is not None:
        raise GraphError(f"its weights lack {lacking!r}, or have it in another shape: copy the whole folder")
    check(path, graph)
    return graph


def _take_named(graph: Any, inputs: Iterable[Any]) -> None:
    """Make inputs, in place, of the operations whose tensors a signature names as inputs."""
    nodes = {node.name: node for node in graph.node}
    for info in inputs:
        name, _, place = info.name.partition(":")
        node = nodes.get(name)
        if node is None or node.op in _INPUTS:
            continue
        if place not in ("", "0"):
            raise GraphError(f"its signature takes {info.name!r}, the second result of an operation")
        become(node, "Placeholder", dtype=info.dtype)
        node.attr["shape"].shape.CopyFrom(info.tensor_shape)


def _fill(graph: Any, outputs: Iterable[str], prefix: Path, keys: Mapping[str, str]) -> None:
    """Make constants, in place, of the variables that compute the tensors `outputs`; `keys` are their names there."""
    import tensorflow as tf

    needed = list(needed_nodes(graph, outputs))
    variables = [node for node in needed if node.op in _VARIABLES]
    if not variables:
        return
    try:
        values = _values(variables, tf.train.load_checkpoint(str(prefix)), keys)
    except Exception as error:  # TensorFlow raises many types for a damaged checkpoint
        raise GraphError("the file of its weights is missing or damaged: copy the whole folder") from error
    for node, value in values:
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise GraphError(f"the weights {node.name!r} contain values that are not finite numbers")
        become(node, "Const", dtype=tf.as_dtype(value.dtype).as_datatype_enum)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    nodes = {node.name: node for node in needed}
    for node in needed:
        if node.op == _READS:
            become(node, "Identity", [node.input[0]], T=node.attr["dtype"].type)
        elif node.op in _PASSING and node.attr["T"].type == tf.resource.as_datatype_enum:  # of a variable
            source = behind(nodes, node.input[0], _PASSING)
            node.attr["T"].type = 0 if source is None else source.attr["dtype"].type


def _keys(graph: Any, restore: str) -> dict[str, str]:
    """Return the names under which the operation `restore` looks for variables, by variable.

    They may be others than those of the variables: a graph can take the moving averages that training kept of them.
    """
    nodes = {node.name: node for node in graph.node}
    restores = {node.name: _texts(nodes, node) for node in graph.node if node.op == "RestoreV2"}
    scope, found = restore.rpartition("/")[0], {}
    for node in graph.node:
        if node.op not in _ASSIGNS or len(node.input) < 2 or not node.name.startswith(f"{scope}/"):
            continue
        tensor = node.input[1]
        source = nodes.get(node_of(tensor))
        if source is not None and source.op == "Identity" and source.input:
            tensor = source.input[0]
        name, _, place = tensor.partition(":")
        if int(place or 0) < len(restores.get(name, ())):
            found[node_of(node.input[0])] = restores[name][int(place or 0)]
    return found


def _texts(nodes: Mapping[str, Any], restore: Any) -> list[str]:
    """Return the names that an operation restores, if they are a constant."""
    import tensorflow as tf

    names = behind(nodes, restore.input[1]) if len(restore.input) > 1 else None
    if names is None or names.op != "Const":
        return []
    return [text.decode("utf-8", "replace") for text in tf.make_ndarray(names.attr["value"].tensor).reshape(-1)]


def _values(variables: Iterable[Any], reader: Any, keys: Mapping[str, str]) -> list[tuple[Any, NDArray[Any]]]:
    """Return the variables that are in a checkpoint, with their values."""
    stored, found = reader.get_variable_to_shape_map(), []
    for node in variables:
        shared = node.attr["shared_name"].s.decode("utf-8", "replace") if node.op == "VarHandleOp" else ""
        key = keys.get(node.name) or shared or node.name
        # A part of a variable has another shape than the whole, which is what is stored.
        if key in stored and stored[key] == [axis.size for axis in node.attr["shape"].shape.dim]:
            found.append((node, reader.get_tensor(key)))
    return found
