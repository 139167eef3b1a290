"""Read a frozen graph: the operations in a `.pb` file of TensorFlow 1, with their weights as constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgefeat_export._models.saved.code.operations import behind, depending, node_of
from edgefeat_export._models.saved.formats.graphs.definition import Graph, GraphError, check, ends, image_graph

__all__ = ["frozen_graph"]

_LARGEST = 2**31 - 1  # bytes; protobuf reads no more
#: Operations that read an image file, and those that may stand between one and the network.
_DECODES = frozenset({"DecodeBmp", "DecodeImage", "DecodeJpeg", "DecodePng"})
_PASSING = frozenset({"Cast", "Identity"})
_RESIZES = frozenset({"ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"})
#: Operations with a kernel, whose third axis is that of the input's channels.
_CONVOLVES = ("Conv2D", "DepthwiseConv2dNative")
_COLOUR = 3  # channels


def frozen_graph(path: Path, *, divided: bool) -> Graph:
    """Return the graph in the file; if it reads an image file, what follows takes an image.

    Raises as `image_graph`, and ExportError if it does more than compute.
    """
    from tensorflow.core.framework import graph_pb2

    if path.stat().st_size > _LARGEST:
        raise GraphError("it is larger than 2 GB")
    whole = graph_pb2.GraphDef()
    try:
        whole.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError is not public in all implementations
        raise GraphError("its graph is damaged") from error
    outputs = ends(whole)
    _take_images(whole)
    _name_shapes(whole)
    _expand_weights(whole)
    graph = image_graph(path, whole, {}, outputs, divided=divided)
    check(path, graph)
    return graph


def _take_images(graph: Any) -> None:
    """Make inputs, in place, of the batches of one image that the graph makes of image files.

    Where it resizes them first, they have that size.
    """
    import tensorflow as tf

    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        if node.op != "ExpandDims" or not node.input:
            continue
        source = behind(nodes, node.input[0], _PASSING)
        if source is None or source.op not in _DECODES:
            continue
        sides = next(
            (_size(nodes, user) for user in graph.node if user.op in _RESIZES and user.input[0] == node.name), None
        )
        kind, name = node.attr["T"].type, node.name
        node.Clear()
        node.name, node.op = name, "Placeholder"
        node.attr["dtype"].type = kind
        node.attr["shape"].shape.CopyFrom(tf.TensorShape([1, *(sides or (None, None)), _COLOUR]).as_proto())


def _size(nodes: Mapping[str, Any], resize: Any) -> tuple[int, int] | None:
    """Return the height and width to which an operation resizes, or None if they are computed."""
    import tensorflow as tf

    size = nodes.get(node_of(resize.input[1]))
    if size is None or size.op != "Const":
        return None
    height, width = tf.make_ndarray(size.attr["value"].tensor).tolist()
    return height, width


def _name_shapes(graph: Any) -> None:
    """Say, in place, how many channels the inputs have whose shapes are not said, by the first convolution of each.

    The tools that optimize graphs leave the shapes of inputs out.
    """
    import tensorflow as tf

    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        if node.op != "Placeholder" or node.attr["shape"].shape.dim:
            continue
        users = depending(graph, [node.name])
        channels = next(_channels(graph, nodes, users), None)
        if channels is not None:
            node.attr["shape"].shape.CopyFrom(tf.TensorShape([None, None, None, channels]).as_proto())


def _channels(graph: Any, nodes: dict[str, Any], among: set[str]) -> Iterator[int]:
    """Yield the channels that the convolutions `among` the nodes take, in their order."""
    for node in graph.node:
        if node.op in _CONVOLVES and node.name in among and len(node.input) > 1:
            kernel = behind(nodes, node.input[1])
            shape = [] if kernel is None else [axis.size for axis in kernel.attr["value"].tensor.tensor_shape.dim]
            if len(shape) == 4:
                yield shape[2]


def _expand_weights(graph: Any) -> None:
    """Make float constants, in place, of those that are stored as integers with their range."""
    import tensorflow as tf

    constants = {node.name: node for node in graph.node if node.op == "Const"}
    for node in graph.node:
        if node.op != "Dequantize" or not all(tensor in constants for tensor in node.input):
            continue
        values, low, high = (tf.make_ndarray(constants[tensor].attr["value"].tensor) for tensor in node.input)
        kind = tf.as_dtype(node.attr["T"].type)
        mode = node.attr["mode"].s.decode() or "MIN_COMBINED"
        floats = tf.quantization.dequantize(values.astype(kind.as_numpy_dtype), low, high, mode)
        name = node.name
        node.Clear()
        node.name, node.op = name, "Const"
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(floats.numpy()))
