"""Read the Keras model that a SavedModel folder describes, as JSON, without running anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgefeat import ExportError

__all__ = ["layers_of_folder", "saved_graph"]

_LARGEST_GRAPH = 2**31 - 1  # bytes; protobuf reads no more
_MODELS = ("Functional", "Model", "Sequential")


def layers_of_folder(path: Path) -> dict[str, Any]:
    """Return the config of the functional or sequential model saved in the folder; empty if it has none.

    Keras 2.5 and newer write it to `keras_metadata.pb`, older versions into the nodes of the graph. A subclassed model
    has none. Raises ExportError if a file of the folder is damaged.
    """
    text = _metadata_text(path)
    if not text:
        return {}
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExportError(f"model {path} cannot be loaded: its Keras metadata is damaged") from error
    if not isinstance(metadata, dict) or metadata.get("class_name") not in _MODELS or not metadata.get("config"):
        return {}
    return {"class_name": metadata["class_name"], "config": metadata["config"]}


def saved_graph(path: Path) -> Any:
    """Return the parsed `saved_model.pb`. Raises ExportError if it is damaged or too large."""
    from tensorflow.core.protobuf import saved_model_pb2

    return _parsed(path / "saved_model.pb", saved_model_pb2.SavedModel())


def _metadata_text(path: Path) -> str:
    """Return the metadata of the root object, which is the model."""
    if (path / "keras_metadata.pb").is_file():
        from tf_keras.protobuf import saved_metadata_pb2

        message = _parsed(path / "keras_metadata.pb", saved_metadata_pb2.SavedMetadata())
        return next((node.metadata for node in message.nodes if node.node_path == "root"), "")
    graphs = saved_graph(path).meta_graphs
    nodes = graphs[0].object_graph_def.nodes if graphs else []
    root = nodes[0].user_object if len(nodes) else None
    return root.metadata if root is not None and root.identifier.startswith("_tf_keras_") else ""


def _parsed(path: Path, message: Any) -> Any:
    if path.stat().st_size > _LARGEST_GRAPH:
        raise ExportError(f"model {path.parent} cannot be loaded: {path.name} is larger than 2 GB")
    try:
        message.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError is not public in all implementations
        raise ExportError(f"model {path.parent} cannot be loaded: {path.name} is damaged") from error
    return message
