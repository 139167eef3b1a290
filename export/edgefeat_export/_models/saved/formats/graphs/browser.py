"""Read a graph model of TensorFlow.js: the operations of its `model.json`, with the weights beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._models.saved.code.operations import has_value
from edgefeat_export._models.saved.formats.graphs.definition import Graph, GraphError, check, image_graph
from edgefeat_export._models.saved.formats.tensorflowjs_files import listed_arrays

__all__ = ["browser_graph"]


def browser_graph(path: Path, *, divided: bool) -> Graph:
    """Return the graph that `model.json` describes, with the values of its weights.

    Raises as `image_graph`, and ExportError if it does more than compute.
    """
    from google.protobuf import json_format
    from tensorflow.core.framework import graph_pb2

    content = json.loads(path.read_bytes())
    try:
        whole = json_format.ParseDict(content["modelTopology"], graph_pb2.GraphDef(), ignore_unknown_fields=True)
        inputs, outputs = _signature(content)
    except Exception as error:  # protobuf raises many types for JSON that is no graph
        raise GraphError("the description of its graph is damaged") from error
    graph = image_graph(path, whole, inputs, outputs, divided=divided)
    check(path, graph)
    graph.fill(_weights(path, graph))
    return graph


def _signature(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the file says of the inputs, and the tensors of the outputs, by name; none if it does not say."""
    said = content.get("signature") or (content.get("userDefinedMetadata") or {}).get("signature") or {}
    inputs, outputs = (
        {key.partition(":")[0]: info for key, info in (said.get(part) or {}).items() if _is_tensor(info)}
        for part in ("inputs", "outputs")
    )
    return inputs, {key: info["name"] for key, info in outputs.items()}


def _is_tensor(info: Any) -> bool:
    return isinstance(info["name"], str) and bool(info["name"])


def _weights(path: Path, graph: Graph) -> dict[str, NDArray[Any]]:
    """Return the values of the graph's constants, in their types.

    Raises GraphError if one is missing or not finite.
    """
    import tensorflow as tf

    kinds = {node.name: tf.as_dtype(node.attr["dtype"].type).as_numpy_dtype for node in graph.constants}
    values: dict[str, NDArray[Any]] = {}
    for name, array in listed_arrays(path):
        if name not in kinds:
            continue
        if name in values:
            raise GraphError(f"it lists the weights {name!r} twice")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise GraphError(f"the weights {name!r} contain values that are not finite numbers")
        if not np.can_cast(array.dtype, kinds[name], "same_kind"):
            kind = np.dtype(kinds[name]).name
            raise GraphError(f"the weights {name!r} are {array.dtype} (allowed: {kind}, the type of their operation)")
        values[name] = array.astype(kinds[name])
    for node in graph.constants:
        if node.name not in values and not has_value(node.attr["value"].tensor):
            raise GraphError(f"it lists no weights for {node.name!r}")
    return values
