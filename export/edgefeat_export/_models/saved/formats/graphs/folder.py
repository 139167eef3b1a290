"""Read a SavedModel of TensorFlow 1: the graph of a signature, with the values of its variables as constants."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._models.saved.code.operations import behind, needed_nodes
from edgefeat_export._models.saved.formats.graphs.definition import Graph, GraphError, check, image_graph
from edgefeat_export._models.saved.metadata import saved_graph

__all__ = ["folder_graph", "is_first_version"]

#: The tag of the graph to serve, and the names of its signature: of a model, and of a module of TensorFlow Hub.
_SERVED = "serve"
_SIGNATURES = ("serving_default", "default")

#: Operations that hold a variable, and the one that reads it.
_VARIABLES = frozenset({"VarHandleOp", "Variable", "VariableV2"})
_READS = "ReadVariableOp"
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
    found = next((graph for graph in graphs if _SERVED in graph.meta_info_def.tags), graphs[0] if graphs else None)
    signatures = {} if found is None else {key: one for key, one in found.signature_def.items() if key[:2] != "__"}
    if found is None or not signatures:
        raise GraphError("it has no serving signature")
    name = next((name for name in _SIGNATURES if name in signatures), next(iter(sorted(signatures))))
    inputs = {key: json_format.MessageToDict(info) for key, info in signatures[name].inputs.items()}
    outputs = {key: info.name for key, info in signatures[name].outputs.items()}
    whole = found.graph_def
    _fill(whole, outputs.values(), path / "variables" / "variables")
    graph = image_graph(path, whole, inputs, outputs, divided=divided)
    check(path, graph)
    return graph


def _fill(graph: Any, outputs: Iterable[str], prefix: Path) -> None:
    """Make constants, in place, of the variables that compute the tensors `outputs`."""
    import tensorflow as tf

    needed = list(needed_nodes(graph, outputs))
    variables = [node for node in needed if node.op in _VARIABLES]
    if not variables:
        return
    try:
        values = _values(variables, tf.train.load_checkpoint(str(prefix)))
    except GraphError:
        raise
    except Exception as error:  # TensorFlow raises many types for a damaged checkpoint
        raise GraphError("the file of its weights is missing or damaged: copy the whole folder") from error
    for node, value in zip(variables, values, strict=True):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise GraphError(f"the weights {node.name!r} contain values that are not finite numbers")
        _become(node, "Const", dtype=tf.as_dtype(value.dtype).as_datatype_enum)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    nodes = {node.name: node for node in needed}
    for node in needed:
        if node.op == _READS:
            _become(node, "Identity", [node.input[0]], T=node.attr["dtype"].type)
        elif node.op in _PASSING and node.attr["T"].type == tf.resource.as_datatype_enum:  # of a variable
            source = behind(nodes, node.input[0], _PASSING)
            node.attr["T"].type = 0 if source is None else source.attr["dtype"].type


def _values(variables: Iterable[Any], reader: Any) -> list[NDArray[Any]]:
    """Return the values of the variables in a checkpoint."""
    stored, found = reader.get_variable_to_shape_map(), []
    for node in variables:
        key = node.attr["shared_name"].s.decode("utf-8", "replace") if node.op == "VarHandleOp" else ""
        key = key or node.name
        if key not in stored:
            raise GraphError(f"its weights lack {key!r}: copy the whole folder")
        found.append(reader.get_tensor(key))
    return found


def _become(node: Any, kind: str, inputs: Iterable[str] = (), **types: int) -> None:
    """Make another operation of a node, in place."""
    name, inputs = node.name, list(inputs)
    node.Clear()
    node.name, node.op = name, kind
    node.input.extend(inputs)
    for key, value in types.items():
        node.attr[key].type = value
