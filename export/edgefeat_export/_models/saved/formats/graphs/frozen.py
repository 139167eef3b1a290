"""Read a frozen graph: the operations in a `.pb` file of TensorFlow 1, with their weights as constants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgefeat_export._models.saved.code.operations import become, behind, node_of, users_of
from edgefeat_export._models.saved.formats.graphs.definition import Graph, GraphError, check, image_graph
from edgefeat_export._models.saved.formats.graphs.rewriting.integer_weights import expand_weights

__all__ = ["frozen_graph"]

_LARGEST = 2**31 - 1  # bytes; protobuf reads no more
#: Operations that read an image file.
_DECODES = frozenset({"DecodeBmp", "DecodeImage", "DecodeJpeg", "DecodePng"})
_RESIZES = frozenset({"ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"})
#: Operations on each value alone, which may take a constant as well.
_EACH = frozenset({"Add", "AddV2", "Cast", "Div", "Identity", "Maximum", "Minimum", "Mul", "RealDiv", "Sub"})
#: Those that keep the channels of their first input.
_KEEPING = _EACH | _RESIZES | {"MirrorPad", "Pad", "PadV2"}
#: Operations with a kernel, whose third axis is that of the input's channels.
_CONVOLVES = ("Conv2D", "DepthwiseConv2dNative")
_COLOUR, _KERNEL_RANK = 3, 4


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
    nodes, users = {node.name: node for node in whole.node}, users_of(whole.node)
    for node in whole.node:
        if node.op == "ExpandDims":
            _take_image(node, nodes, users)
    for node in whole.node:
        if node.op == "Placeholder":
            _say_channels(node, nodes, users)
    expand_weights(whole)
    graph = image_graph(path, whole, {}, {}, divided=divided)
    check(path, graph)
    return graph


def _take_image(node: Any, nodes: Mapping[str, Any], users: Mapping[str, list[Any]]) -> None:
    """Make an input, in place, of the image of which `node` makes a batch, if the graph reads it from a file.

    The operations between, on each value alone, compute the same of a batch. If it is resized then, it has that size.
    """
    import tensorflow as tf

    first = _first_floats(node, nodes)
    if first is None:
        return
    decoder = behind(nodes, first.input[0])
    resize = next((user for user in users.get(node.name, ()) if user.op in _RESIZES and len(user.input) == 2), None)
    sides = None if resize is None else _size(nodes, resize.input[1])
    kind, channels = first.attr["DstT"].type, decoder.attr["channels"].i or _COLOUR
    become(first, "Placeholder", dtype=kind)
    first.attr["shape"].shape.CopyFrom(tf.TensorShape([1, *(sides or (None, None)), channels]).as_proto())
    become(node, "Identity", [node.input[0]], T=node.attr["T"].type)


def _first_floats(node: Any, nodes: Mapping[str, Any]) -> Any:
    """Return the operation that makes floats of the pixels of a file, before `node`; None if there is none."""
    seen: set[str] = set()
    while node is not None and node.input and node.name not in seen:
        seen.add(node.name)
        node = nodes.get(node_of(node.input[0]))
        if node is None or node.op not in _EACH or not _others_are_constant(node, nodes):
            return None
        if node.op == "Cast":
            source = behind(nodes, node.input[0])
            return node if source is not None and source.op in _DECODES else None
    return None


def _others_are_constant(node: Any, nodes: Mapping[str, Any]) -> bool:
    others = [behind(nodes, tensor) for tensor in node.input[1:]]
    return bool(node.input) and all(other is not None and other.op == "Const" for other in others)


def _size(nodes: Mapping[str, Any], tensor: str) -> tuple[int, int] | None:
    """Return a constant height and width, or None if they are computed."""
    import tensorflow as tf

    size = behind(nodes, tensor)
    if size is None or size.op != "Const":
        return None
    values = tf.make_ndarray(size.attr["value"].tensor)
    return (int(values[0]), int(values[1])) if values.shape == (2,) else None


def _say_channels(source: Any, nodes: Mapping[str, Any], users: Mapping[str, list[Any]]) -> None:
    """Say, in place, how many channels an input has whose shape is not said, by the convolution that takes it.

    The tools that optimize graphs leave the shapes of inputs out.
    """
    import tensorflow as tf

    if source.attr["shape"].shape.dim or not tf.as_dtype(source.attr["dtype"].type).is_floating:
        return
    seen, waiting = {source.name}, [source]
    while waiting:
        given = waiting.pop()
        for node in users.get(given.name, ()):
            takes = len(node.input) > 0 and node_of(node.input[0]) == given.name
            if takes and node.op in _CONVOLVES and (channels := _channels(node, nodes)):
                source.attr["shape"].shape.CopyFrom(tf.TensorShape([None, None, None, channels]).as_proto())
                return
            if takes and node.name not in seen and node.op in _KEEPING and _others_are_constant(node, nodes):
                seen.add(node.name)
                waiting.append(node)


def _channels(convolution: Any, nodes: Mapping[str, Any]) -> int:
    """Return the channels that a convolution takes, 0 if its kernel is not known."""
    if convolution.attr["data_format"].s not in (b"", b"NHWC"):
        raise GraphError(f"its convolution {convolution.name!r} has its channels first (allowed: channels last)")
    kernel = behind(nodes, convolution.input[1], ("Dequantize", "Identity")) if len(convolution.input) > 1 else None
    shape = [] if kernel is None else [axis.size for axis in kernel.attr["value"].tensor.tensor_shape.dim]
    return shape[2] if len(shape) == _KERNEL_RANK else 0
