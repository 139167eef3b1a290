"""Graphs of TensorFlow 1 as people have them: frozen in one file, or saved with variables; and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
from tests.export.models.networks.keras2_models import spec_of

from edgefeat_export._network.layers import list_layers
from edgefeat_export._spec import NetworkSpec

v1 = tf.compat.v1

SIDE, CLASSES = 16, 5
PIXELS = (np.arange(2 * SIDE * SIDE * 3) * 37 % 251).astype(np.uint8).reshape(2, SIDE, SIDE, 3)
#: A tensor of the network below, and the scope of which it is the last.
POOLED, LOGITS = "MobilenetV1/Logits/pool", "MobilenetV1/Logits"

#: Makes the images of a graph of what it takes.
Source = Callable[[], Any]


def spec(path: Path, **more: Any) -> NetworkSpec:
    """Return what to export of a graph that takes pixels as they are."""
    return spec_of(path, preprocess="raw", **more)


def names(path: Path) -> list[str]:
    """Return the layers at which a graph can be cut."""
    return [one.name for one in list_layers(NetworkSpec(str(path), weights="random")).layers]


def images() -> Any:
    """Take one image of a known size, as retrained MobileNets do."""
    return v1.placeholder(tf.float32, [1, SIDE, SIDE, 3], "input")


def jpegs() -> Any:
    """Read a JPEG file, as the first Inception V3 does."""
    content = tf.constant(b"", name="DecodeJpeg/contents")
    pixels = tf.cast(v1.image.decode_jpeg(content, channels=3, name="DecodeJpeg"), tf.float32, name="Cast")
    batch = tf.expand_dims(pixels, 0, name="ExpandDims")
    return v1.image.resize_bilinear(batch, [SIDE, SIDE], name="ResizeBilinear")


def scaled_jpegs(channels: int) -> Any:
    """Read a JPEG file, and scale its pixels before they are made a batch."""
    pixels = v1.image.decode_jpeg(tf.constant(b"", name="content"), channels=channels, name="DecodeJpeg")
    batch = tf.expand_dims(tf.cast(pixels, tf.float32, name="Cast") / 255.0, 0, name="ExpandDims")
    return v1.image.resize_bilinear(batch, tf.constant([SIDE, SIDE]))


def network(made: Source = images, *, end: Callable[[Any], Any] = lambda x: x) -> Any:
    """Return a graph with a session that has its weights: `MobilenetV1/...` to `final_result`; `end` is before it."""
    random = np.random.default_rng(3)

    def weights(name: str, *shape: int) -> Any:
        values = random.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32)
        return tf.identity(v1.Variable(values, name=name), name=f"{name}/read")

    graph = tf.Graph()
    with graph.as_default():
        source = made()
        with v1.name_scope("MobilenetV1/Conv2d_0/"):
            x = tf.nn.conv2d(source, weights("weights", 3, 3, 3, 8), 2, "SAME", name="convolution")
            x = tf.nn.relu6(tf.nn.bias_add(x, weights("biases", 8)), name="Relu6")
        with v1.name_scope("MobilenetV1/Conv2d_1_depthwise/"):
            x = tf.nn.depthwise_conv2d(
                x, weights("depthwise_weights", 3, 3, 8, 1), [1, 1, 1, 1], "SAME", name="depthwise"
            )
            x = tf.nn.relu6(x, name="Relu6")
        x = tf.reduce_mean(x, [1, 2], name="MobilenetV1/Logits/pool")
        x = end(x)
        with v1.name_scope("final_training_ops/"):
            x = tf.matmul(v1.placeholder_with_default(x, [None, 8], "bottleneck"), weights("weights", 8, CLASSES))
        tf.nn.softmax(x, name="final_result")
    session = v1.Session(graph=graph)
    with graph.as_default():
        session.run(v1.global_variables_initializer())
    return session


def computed(
    session: Any, pixels: NDArray[Any], tensor: str, source: str = "input", more: Mapping[str, Any] | None = None
) -> NDArray[np.float32]:
    """Return what the graph computes of each image, and of `more`, as TensorFlow 1 does."""
    images = pixels.astype(np.float32)
    return np.concatenate(
        [session.run(f"{tensor}:0", {f"{source}:0": one[np.newaxis], **(more or {})}) for one in images]
    )


def frozen(
    session: Any, path: Path, change: Callable[[Any], None] = lambda graph: None, *, output: str = "final_result"
) -> Path:
    """Write the graph with its weights as constants, as `freeze_graph` does, after a change of it."""
    graph = v1.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), [output])
    change(graph)
    path.write_bytes(graph.SerializeToString())
    return path


def saved(session: Any, folder: Path, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Path:
    """Write a SavedModel of TensorFlow 1 with a signature of these tensors."""
    taken, given = (
        {key: session.graph.get_tensor_by_name(f"{name}:0") for key, name in named.items()}
        for named in (inputs, outputs)
    )
    with session.graph.as_default():
        v1.saved_model.simple_save(session, str(folder), taken, given)
    return folder


def quantized(graph: Any) -> None:
    """Store the weights of a graph as integers with their range, in place, as *TensorFlow for Poets* did."""
    for node in [node for node in graph.node if node.op == "Const" and node.attr["value"].tensor.tensor_shape.dim]:
        values = tf.make_ndarray(node.attr["value"].tensor)
        if values.dtype != np.float32 or values.size < 40:
            continue
        low, high = float(values.min()), float(values.max())
        levels = np.rint((values - low) / (high - low) * 255).astype(np.uint8)
        for suffix, value in (("const", levels), ("min", np.float32(low)), ("max", np.float32(high))):
            kind = tf.quint8 if suffix == "const" else tf.float32
            part = graph.node.add(name=f"{node.name}_quantized_{suffix}", op="Const")
            part.attr["dtype"].type = kind.as_datatype_enum
            part.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, kind))
        name = node.name
        node.Clear()
        node.name, node.op = name, "Dequantize"
        node.input.extend(f"{name}_quantized_{suffix}" for suffix in ("const", "min", "max"))
        node.attr["T"].type = tf.quint8.as_datatype_enum
        node.attr["mode"].s = b"MIN_FIRST"


def without_shapes(graph: Any) -> None:
    """Leave the shapes of placeholders out, in place, as `optimize_for_inference` does."""
    for node in graph.node:
        if node.op == "Placeholder":
            del node.attr["shape"]
