"""Load a SavedModel without a Keras model: its serving signature becomes one layer, if it only computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.code.allowlist import OPERATIONS
from edgefeat_export._models.saved.formats.graph_parts import in_parts
from edgefeat_export._models.saved.metadata import saved_graph
from edgefeat_export._models.saved.recognition import SavedModel, missing_weights

__all__ = ["load_signature"]

_SIGNATURE = "serving_default"
#: Objects that run nothing when TensorFlow loads them; tables and assets run functions from the file.
_OBJECTS = ("user_object", "variable", "function", "bare_concrete_function", "constant", "captured_tensor")


def load_signature(saved: SavedModel, *, divided: bool = False) -> Any:
    """Return a tf-keras model with the folder's serving signature as its only layer; its outputs keep their names.

    If `divided`, the scopes of its graph are layers, where that is possible, which takes seconds.
    Raises ArgumentError if the signature does not take one tensor, and ExportError if it does more than compute or
    cannot be loaded.
    """
    name = _check(saved)
    import tensorflow as tf
    import tf_keras  # a model saved with an optimizer of Keras 2 requires it to load

    try:
        loaded = tf.saved_model.load(str(saved.path))
        function = loaded.signatures[name]
    except Exception as error:  # TensorFlow raises many types for a damaged folder
        why = missing_weights(saved) or f"model {saved.path} cannot be loaded by TensorFlow: {first_line(error)}"
        raise ExportError(why) from error
    (specs,) = [function.structured_input_signature[1]]
    if len(specs) != 1:
        raise ArgumentError(
            f"model {saved.path} takes {len(specs)} inputs, {', '.join(specs)} (allowed: a serving signature with one "
            "image)"
        )
    ((source, spec),) = specs.items()

    class Signature(tf_keras.layers.Layer):  # type: ignore[misc]  # tf-keras has no types
        """Calls the function; `variables` keeps its variables alive."""

        def __init__(self) -> None:
            super().__init__(name=name, trainable=False)
            self.function, self.loaded = function, loaded

        def call(self, given: Any) -> dict[str, Any]:
            given = tf.cast(given, spec.dtype)
            one = spec.shape.rank is not None and spec.shape[0] == 1
            if one and given.shape[0] != 1:
                rows = tf.map_fn(
                    lambda row: {key: value[0] for key, value in function(**{source: row[tf.newaxis]}).items()},
                    given,
                    fn_output_signature={key: output.dtype for key, output in function.structured_outputs.items()},
                )
                return dict(rows)
            return dict(function(**{source: given}))

    if spec.shape.rank is None or (None in tuple(spec.shape)[1:] and spec.shape.rank not in (3, 4)):
        raise ArgumentError(f"model {saved.path} takes a tensor of shape {spec.shape} (allowed: one image)")
    # Models with an input of another float type are built anew in float32, which a graph cannot be.
    kind = tf.float32 if spec.dtype.is_floating else spec.dtype
    given = tf_keras.Input(tuple(spec.shape)[1:], dtype=kind, name=source)
    keys = sorted(function.structured_outputs)
    parts = None
    if divided and spec.shape[0] is None:
        try:
            parts = in_parts(function, given, {source, *keys})
        except Exception as error:  # TensorFlow and tf-keras raise many types for a graph that they cannot divide
            raise ExportError(
                f"model {saved.path} cannot be cut: {first_line(error)} (allowed: its whole serving signature, without "
                "--layer)"
            ) from error
    results = Signature()(given) if parts is None else dict(zip(keys, parts, strict=True))
    named = [tf_keras.layers.Activation("linear", name=key)(results[key]) for key in keys]
    return tf_keras.Model(given, named)


def _check(saved: SavedModel) -> str:
    """Return the name of the signature. Raises ExportError if it does more than compute."""
    graphs = saved_graph(saved.path).meta_graphs
    found = next((graph for graph in graphs if graph.signature_def), None)
    signatures = [key for key in (found.signature_def if found is not None else ()) if not key.startswith("__")]
    if found is None or not signatures:
        raise ExportError(
            f"model {saved.path} has no serving signature and no Keras layers: save a functional or sequential model "
            "with model.save('model.keras')"
        )
    if len(graphs) != 1 or not found.object_graph_def.nodes:
        raise ExportError(
            f"model {saved.path} is a SavedModel of TensorFlow 1 or contains several graphs (allowed: one graph of "
            "TensorFlow 2): save it with tf.saved_model.save, or with Keras"
        )
    for node in found.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind not in _OBJECTS or any(part.restore_function for part in node.saveable_objects.values()):
            raise ExportError(
                f"model {saved.path} contains an object of kind {kind}, which runs functions from the file when it is "
                "loaded: save only the network, without tables or files"
            )
    name = _SIGNATURE if _SIGNATURE in signatures else signatures[0]
    outputs = [info.name for info in found.signature_def[name].outputs.values()]
    foreign = sorted(set(_operations(found.graph_def, outputs)) - OPERATIONS)
    if foreign:
        raise ExportError(
            f"model {saved.path} uses {', '.join(foreign)} (allowed: arithmetic, convolutions and changes of shape): "
            "save only the network"
        )
    return name


def _operations(graph: Any, outputs: list[str]) -> Iterator[str]:
    """Yield the operations that compute these tensors, in the graph and in all functions it calls."""
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function for function in graph.library.function}
    waiting: list[Any] = [nodes[name] for name in {_node(tensor) for tensor in outputs} if name in nodes]
    seen = {node.name for node in waiting}
    while waiting:
        node = waiting.pop()
        yield node.op
        needed = [nodes[name] for name in map(_node, node.input) if name in nodes and name not in seen]
        seen.update(one.name for one in needed)
        waiting.extend(needed)
        for called in [value.func.name for value in node.attr.values() if value.HasField("func")]:
            yield from _all_operations(functions, called, set())


def _all_operations(functions: Any, name: str, seen: set[str]) -> Iterator[str]:
    """Yield the operations of a function and of all functions it calls."""
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in functions[name].node_def:
            yield node.op
            waiting.extend(value.func.name for value in node.attr.values() if value.HasField("func"))


def _node(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
