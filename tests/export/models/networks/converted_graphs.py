"""Write models as the TensorFlow.js converter writes graph models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import tf_optimizer

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
