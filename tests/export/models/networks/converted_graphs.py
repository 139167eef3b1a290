"""Graph models of TensorFlow.js: one that is in the tests' data, changes of it, and any as the converter writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import tf_optimizer
from tests.export.models.networks.keras2_models import spec_of

from edgefeat_export._spec import NetworkSpec

#: A graph with every kind of fused operation, and what TensorFlow.js computes with it (make.mjs).
FOLDER = Path(__file__).parents[3] / "data" / "tensorflowjs_graph"
KERNEL = "net/first/kernel"

#: What the converter lets TensorFlow do to a graph; `remap` fuses operations.
_REWRITERS = ("debug_stripper", "pruning", "constfold", "arithmetic", "dependency", "remap", "constfold", "pruning")


def converted_graph(model: Any, folder: Path) -> Path:
    """Write a Keras model as a graph, with fused operations and without its values, and these beside it."""
    (source,) = model.inputs

    @tf.function(input_signature=[tf.TensorSpec(source.shape, name="photo")], autograph=False)
    def call(photo: Any) -> Any:
        return tf.identity(model(photo, training=False))

    frozen = convert_variables_to_constants_v2(call.get_concrete_function())
    (output,) = frozen.outputs
    graph = _optimized(frozen)
    entries, data = [], b""
    for node in graph.node:
        if node.op == "Const":
            value = tf.make_ndarray(node.attr["value"].tensor)
            entries.append({"name": node.name, "shape": list(value.shape), "dtype": str(value.dtype)})
            data += value.tobytes()
            node.attr["value"].tensor.Clear()
            node.attr["value"].tensor.dtype = node.attr["dtype"].type
    written = {
        "format": "graph-model",
        "signature": {"outputs": {"classes": {"name": output.name}}},
        "modelTopology": json_format.MessageToDict(graph),
        "weightsManifest": [{"paths": ["weights.bin"], "weights": entries}],
    }
    folder.mkdir()
    (folder / "weights.bin").write_bytes(data)
    (folder / "model.json").write_text(json.dumps(written))
    return folder / "model.json"


def _optimized(frozen: Any) -> Any:
    definition = frozen.graph.as_graph_def()
    for node in definition.node:
        node.device = "/device:CPU:0"  # it fuses only what runs there
    described = meta_graph_pb2.MetaGraphDef(graph_def=definition)
    names = [tensor.name for tensor in (*frozen.inputs, *frozen.outputs)]
    described.collection_def["train_op"].node_list.value.extend(names)
    options = config_pb2.ConfigProto()
    options.graph_options.rewrite_options.optimizers.extend(_REWRITERS)
    options.graph_options.rewrite_options.min_graph_nodes = -1
    return tf_optimizer.OptimizeGraph(options, described)


def whole(path: Path, **options: Any) -> NetworkSpec:
    return spec_of(path, **{"preprocess": "raw"} | options)


def edit(path: Path, change: Callable[[Any], Any]) -> Path:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def node(content: Any, name: str) -> Any:
    return next(one for one in content["modelTopology"]["node"] if one["name"] == name)


def weight(content: Any, name: str) -> Any:
    return next(one for one in content["weightsManifest"][0]["weights"] if one["name"] == name)


def sides(content: Any, *values: int) -> None:
    """Set the shape of the input, in the graph and in its signature."""
    shape = {"dim": [{"size": str(value)} for value in values]}
    node(content, "photo")["attr"]["shape"]["shape"] = shape
    content["signature"]["inputs"]["photo"]["tensorShape"] = shape


def reshaped(content: Any, *shapes: list[int]) -> None:
    """Let the graph change the shape of its features to each of these in turn."""
    nodes = content["modelTopology"]["node"]
    tensor = "net/pooled/Mean"
    for place, shape in enumerate(shapes):
        values = {"dtype": "DT_INT32", "tensorShape": {"dim": [{"size": str(len(shape))}]}, "intVal": shape}
        attributes = {"dtype": {"type": "DT_INT32"}, "value": {"tensor": values}}
        name = f"net/flatten/Reshape_{place}"
        nodes.append({"name": f"{name}/shape", "op": "Const", "attr": attributes})
        nodes.append({**node(content, "net/flatten/Reshape"), "name": name, "input": [tensor, f"{name}/shape"]})
        tensor = name
    node(content, "net/hidden/Relu")["input"][0] = tensor


def of_one_batch(content: Any, count: int) -> None:
    """Let the graph take `count` images at once, and no other number."""
    sides(content, count, 16, 16, 3)
    reshaped(content, [6 * count], [count, 6])
