"""The layer calls of a functional or sequential model, the same for Keras 3 and tf-keras (Keras 2)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

__all__ = [
    "Call",
    "calls",
    "functional",
    "giver",
    "inputs_of",
    "is_keras2",
    "is_layer",
    "is_model",
    "key",
    "library_of",
    "needs",
    "scope_name",
]

# Names that TensorFlow's name scopes accept.
_SCOPE = r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a layer or operation: its input and output tensors."""

    layer: Any
    sources: tuple[Any, ...]
    results: tuple[Any, ...]
    is_input: bool
    node: Any


def library_of(keras2: bool) -> Any:
    """Return tf-keras or Keras 3; their layers and models have the same names."""
    if not keras2:
        return keras
    import tf_keras

    return tf_keras


def is_keras2(value: Any) -> bool:
    """Return whether a model, layer or symbolic tensor belongs to tf-keras."""
    return any(kind.__module__.partition(".")[0] == "tf_keras" for kind in type(value).__mro__)


def is_model(layer: Any) -> bool:
    """Return whether a layer is a model of either Keras, with layers of its own."""
    return isinstance(layer, _classes("Model")) and bool(getattr(layer, "inputs", None))


def is_layer(operation: Any) -> bool:
    """Return whether the called object is a layer rather than a bare operation."""
    return isinstance(operation, (keras.Layer, *_classes("layers.Layer")[1:]))


def _classes(name: str) -> tuple[type, ...]:
    found = []
    for library in (keras, sys.modules.get("tf_keras")):  # if tf-keras is not loaded, no object belongs to it
        value: Any = library
        for part in name.split(".") if library is not None else ():
            value = getattr(value, part)
        if library is not None:
            found.append(value)
    return tuple(found)


def functional(inputs: Sequence[Any], outputs: Any) -> Any:
    """Return the model from `inputs` to `outputs`, symbolic tensors of one Keras."""
    return library_of(is_keras2(inputs[0])).Model(list(inputs), outputs)


def key(tensor: Any) -> tuple[int, int, int]:
    """Return the identity of a tensor: its layer, the call of that layer, and the index of the result."""
    history = tensor._keras_history
    return id(history[0]), int(history[1]), int(history[2])


def giver(tensor: Any) -> Any:
    """Return the layer or operation that computes this tensor."""
    return tensor._keras_history[0]


def calls(model: Any) -> list[Call]:
    """Return the calls in `model`, each after those it depends on."""
    graph = getattr(model, "_functional", None) or model  # a Sequential of Keras 3 keeps its graph in an inner model
    depths = graph._nodes_by_depth
    return [_call(node) for depth in sorted(depths, reverse=True) for node in depths[depth]]


def inputs_of(model: Any) -> list[Any]:
    """Return the model's symbolic inputs, in order."""
    graph = getattr(model, "_functional", None) or model
    return list(graph.inputs)


def needs(tensors: Sequence[Any]) -> Iterator[Any]:
    """Yield the inputs, as tensors, that these tensors depend on."""
    waiting, seen = list(tensors), set()
    while waiting:
        tensor = waiting.pop()
        operation, index, _ = tensor._keras_history
        call = _call(operation._inbound_nodes[index])
        if call.is_input:
            if key(tensor) not in seen:
                yield tensor
        elif (id(operation), index) not in seen:
            waiting.extend(call.sources)
        seen |= {key(tensor), (id(operation), index)}


def _call(node: Any) -> Call:
    if hasattr(node, "operation"):  # Keras 3
        return Call(node.operation, tuple(node.input_tensors), tuple(node.output_tensors), node.is_input, node)
    import tensorflow as tf

    results = tuple(tf.nest.flatten(node.outputs))
    return Call(node.layer, () if node.is_input else tuple(node.keras_inputs), results, node.is_input, node)


def scope_name(name: str) -> str:
    """Return the layer's name as TensorFlow accepts it: ASCII letters, digits and `_ . - /`; others become `_`."""
    if re.fullmatch(_SCOPE, name):
        return name
    cleaned = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name)
    return cleaned if re.fullmatch(_SCOPE, cleaned) else f"layer{cleaned}"
