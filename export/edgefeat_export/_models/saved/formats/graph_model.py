"""Load a TensorFlow.js graph model: the operations of its `model.json`, with the weights beside it, as one function."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.code.operations import check_operations, needed_nodes, node_of
from edgefeat_export._models.saved.formats.fused import unfused
from edgefeat_export._models.saved.formats.image_function import ImageFunction
from edgefeat_export._models.saved.formats.tensorflowjs_files import listed_arrays
from edgefeat_export._models.saved.recognition import SavedModel

__all__ = ["load_graph_model"]

_NAME = "graph"
#: Operations that decide what is computed, or repeat it.
_CONTROL = frozenset(
    """
    Case Enter Exit If LoopCond Merge NextIteration StatelessCase StatelessIf StatelessWhile Switch While
    """.split()
)
#: Operations that are no outputs, though none takes what they give.
_NO_OUTPUTS = ("Const", "NoOp", "Placeholder")
_ANY_SIDE = 96  # pixels; for an axis of any length, to try a graph


def load_graph_model(saved: SavedModel, *, divided: bool = False) -> Any:
    """Return a tf-keras model with the graph as its only layer; its outputs keep the names of its signature.

    If `divided`, the scopes of the graph are layers, where that is possible, which takes seconds.
    Raises ArgumentError if the graph does not take one image, and ExportError if it does more than compute, or a file
    is damaged or missing.
    """
    path = saved.path
    try:
        graph = _graph(path)
        _check(path, graph)
        graph.fill(_weights(path, graph))
        computed = _function(path, graph)
    except EdgefeatError:
        raise
    except _GraphError as error:
        raise ExportError(f"model {path} cannot be loaded: {error}") from error
    except Exception as error:  # TensorFlow raises many types for a graph that it cannot build
        raise ExportError(f"model {path} cannot be loaded by TensorFlow: {first_line(error)}") from error
    return computed.model(divided=divided)


class _GraphError(Exception):
    """What keeps a graph from being loaded, as a message for the user."""


@dataclass(frozen=True, slots=True)
class _Graph:
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

    def of_any_batch(self, count: int) -> _Graph:
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


def _graph(path: Path) -> _Graph:
    """Return what `model.json` describes, in plain operations and without the values of its weights."""
    from google.protobuf import json_format
    from tensorflow.core.framework import graph_pb2

    content = json.loads(path.read_bytes())
    try:
        whole = json_format.ParseDict(content["modelTopology"], graph_pb2.GraphDef(), ignore_unknown_fields=True)
        inputs, outputs = _signature(content)
    except Exception as error:  # protobuf raises many types for JSON that is no graph
        raise _GraphError("the description of its graph is damaged") from error
    taken = {node_of(tensor) for node in whole.node for tensor in node.input}
    ends = [node.name for node in whole.node if node.name not in taken and node.op not in _NO_OUTPUTS]
    outputs = outputs or dict(zip(ends, ends, strict=True))
    missing = sorted({node_of(tensor) for tensor in outputs.values()} - {node.name for node in whole.node})
    if missing or not outputs:
        raise _GraphError(f"its graph has no operation {missing[0]!r}" if missing else "its graph has no outputs")
    _plain(whole, {node_of(info["name"]) for info in inputs.values()})
    needed = {node.name for node in needed_nodes(whole, outputs.values())}
    try:
        nodes = unfused(node for node in whole.node if node.name in needed)
    except ValueError as error:
        raise _GraphError(str(error)) from error
    sources = [node for node in nodes if node.op == "Placeholder"]
    names = {node_of(info["name"]): key for key, info in inputs.items()}
    named = [names.get(node.name, node.name) for node in sources]
    if len(sources) != 1:
        said = f"{len(sources)} inputs, {', '.join(named)}" if sources else "no input"
        raise ArgumentError(f"model {path} takes {said} (allowed: one image)")
    shape = sources[0].attr["shape"].shape
    if not shape.dim:
        shape.Clear()
        shape.unknown_rank = named[0] not in inputs
    if not shape.dim and named[0] in inputs:
        json_format.ParseDict(inputs[named[0]].get("tensorShape") or {}, shape, ignore_unknown_fields=True)
    definition = graph_pb2.GraphDef(node=[node for node in nodes if node.op != "Placeholder"], versions=whole.versions)
    definition.library.CopyFrom(whole.library)
    return _Graph(definition, sources[0], named[0], outputs)


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


def _plain(graph: Any, sources: Collection[str]) -> None:
    """Leave out, in place, where an operation runs and when, and the defaults of `sources`; other inputs are theirs.

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
        for value in node.attr.values():
            _narrow(value)
    if not graph.versions.producer:
        graph.versions.producer = tf.version.GRAPH_DEF_VERSION


def _narrow(value: Any) -> None:
    """Make 32 bits of 64 in an attribute, in place, where it is an integer type or a constant of one."""
    import tensorflow as tf

    long, short = tf.int64.as_datatype_enum, tf.int32.as_datatype_enum
    if value.type == long:
        value.type = short
    if long in value.list.type:
        value.list.type[:] = [short if kind == long else kind for kind in value.list.type]
    if value.tensor.dtype == long:
        if _has_value(value.tensor):
            value.tensor.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(value.tensor).astype(np.int32)))
        value.tensor.dtype = short


def _check(path: Path, graph: _Graph) -> None:
    """Raise ExportError if the graph decides what it computes, or does more than compute."""
    control = sorted({node.op for node in graph.definition.node} & _CONTROL)
    if control:
        raise ExportError(
            f"model {path} decides or repeats what it computes, by {', '.join(control)} (allowed: graphs without "
            "control flow): convert only the network"
        )
    check_operations(path, graph.definition, graph.outputs.values())


def _weights(path: Path, graph: _Graph) -> dict[str, NDArray[Any]]:
    """Return the values of the graph's constants, in their types.

    Raises _GraphError if one is missing or not finite.
    """
    import tensorflow as tf

    kinds = {node.name: tf.as_dtype(node.attr["dtype"].type).as_numpy_dtype for node in graph.constants}
    values: dict[str, NDArray[Any]] = {}
    for name, array in listed_arrays(path):
        if name not in kinds:
            continue
        if name in values:
            raise _GraphError(f"it lists the weights {name!r} twice")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _GraphError(f"the weights {name!r} contain values that are not finite numbers")
        if not np.can_cast(array.dtype, kinds[name], "same_kind"):
            kind = np.dtype(kinds[name]).name
            raise _GraphError(f"the weights {name!r} are {array.dtype} (allowed: {kind}, the type of their operation)")
        values[name] = array.astype(kinds[name])
    for node in graph.constants:
        if node.name not in values and not _has_value(node.attr["value"].tensor):
            raise _GraphError(f"it lists no weights for {node.name!r}")
    return values


def _has_value(tensor: Any) -> bool:
    """Return whether a constant has its value in the graph, and not only its type and shape."""
    return any(field.name not in ("dtype", "tensor_shape") for field, _ in tensor.ListFields())


def _function(path: Path, graph: _Graph) -> ImageFunction:
    """Return the function of the graph; one of a fixed number of images takes any number, if its operations do."""
    import tensorflow as tf

    spec = tf.TensorSpec(
        tf.TensorShape(graph.placeholder.attr["shape"].shape),
        tf.as_dtype(graph.placeholder.attr["dtype"].type),
        graph.placeholder.name,
    )
    function = _called(graph, spec)
    if spec.shape.rank and spec.shape[0] is not None:
        free = tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, spec.name)
        batches = _of_any_batch(graph, function, spec, free)
        function, spec = (function, spec) if batches is None else (batches, free)
    return ImageFunction(path, _NAME, graph.source, spec, function, function)


def _called(graph: _Graph, spec: Any) -> Any:
    import tensorflow as tf

    # TensorFlow 2.21 fuses convolutions again when it runs a graph, and crashes on that of BlazeFace.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    source = f"{graph.placeholder.name}:0"
    tensors = [name if ":" in name else f"{name}:0" for name in graph.outputs.values()]

    def run(given: Any) -> dict[str, Any]:
        found = tf.graph_util.import_graph_def(graph.definition, {source: given}, tensors, name="")
        return dict(zip(graph.outputs, found, strict=True))

    return tf.compat.v1.wrap_function(run, [spec])


def _of_any_batch(graph: _Graph, function: Any, spec: Any, free: Any) -> Any:
    """Return the function of any number of images, or None if it would not give for each what `function` gives."""
    import tensorflow as tf

    count = spec.shape[0]
    sides = [side or _ANY_SIDE for side in spec.shape[1:]]
    given = tf.cast(np.random.default_rng(0).uniform(0, 255, (2 * count, *sides)), spec.dtype)
    try:
        batches = _called(graph.of_any_batch(count), free)
        found = batches(given)
        halves = [function(half) for half in (given[:count], given[count:])]
    except Exception:  # noqa: BLE001  # TensorFlow raises many types where a shape has the number of images in it
        return None
    alike = all(
        tensor.shape.rank and tensor.shape[0] is None and _close(found[key], tf.concat([h[key] for h in halves], 0))
        for key, tensor in batches.structured_outputs.items()
    )
    return batches if alike else None


def _close(found: Any, expected: Any) -> bool:
    return found.shape == expected.shape and bool(np.allclose(found, expected, 1e-3, 1e-4 * np.abs(expected).max()))
