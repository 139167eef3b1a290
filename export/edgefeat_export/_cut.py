"""Cuts a Keras model at layers, also inside the models it is made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from edgefeat import ArgumentError
from edgefeat_export._network import tap_name

__all__ = ["cut", "layer_names"]


def cut(whole: keras.Model, names: Sequence[str]) -> tuple[keras.Model, tuple[str, ...]]:
    """The part of `whole` up to the layers of these names, and the names; its last layer where none is given.

    A layer of a model inside the model is named by its path, `inner/layer`. Raises ArgumentError for an unknown name,
    and for two whose taps would have the same.
    """
    if len(set(names)) != len(names):
        raise ArgumentError(f"layers {', '.join(names)} repeat a name")
    if not names:
        if len(whole.outputs) != 1:
            raise ArgumentError(
                f"{whole.name} has {len(whole.outputs)} outputs: say with --layer where to cut it "
                f"(they are of: {', '.join(dict.fromkeys(_giver(whole, output) for output in whole.outputs))})"
            )
        return whole, (_giver(whole, whole.outputs[0]),)
    _check_taps(names)
    outputs = [_output(whole, name.split("/"), name, whole) for name in names]
    return keras.Model(whole.inputs, outputs), tuple(names)


def layer_names(model: keras.Model, prefix: str = "") -> Iterator[str]:
    """The name of every layer, those of inner models by path, in order."""
    for layer in model.layers:
        yield prefix + layer.name
        if isinstance(layer, keras.Model):
            yield from layer_names(layer, f"{prefix}{layer.name}/")


def _check_taps(names: Sequence[str]) -> None:
    taps: dict[str, str] = {}
    for name in names:
        other = taps.setdefault(tap_name(name).lower(), name)  # TensorFlow tells no names apart by their case
        if other != name:
            raise ArgumentError(
                f"layers {other!r} and {name!r} would both be tap {tap_name(name)!r}: rename one, or cut at one of them"
            )


def _giver(whole: keras.Model, output: Any) -> str:
    """The name of the layer that gives this output of `whole`."""
    found = next((layer for layer in reversed(whole.layers) if _gives(layer, output)), whole.layers[-1])
    return str(found.name)


def _gives(layer: keras.Layer, output: Any) -> bool:
    return any(output is tensor for node in layer._inbound_nodes for tensor in node.output_tensors)


def _output(model: keras.Model, path: Sequence[str], name: str, whole: keras.Model) -> Any:
    """The tensor, in terms of `model`'s inputs, that the layer at `path` gives; for errors, its `name` in `whole`."""
    layer = next((layer for layer in model.layers if layer.name == path[0]), None)
    if layer is None or (len(path) > 1 and not isinstance(layer, keras.Model)):
        names = list(layer_names(whole))
        near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
        where = f"near it: {', '.join(near)}; " if near else ""
        raise ArgumentError(f"layer {name!r} is not in {whole.name} ({where}the last are: {', '.join(names[-6:])})")
    node = _node(model, layer)
    if len(path) == 1:
        if len(node.output_tensors) != 1:
            raise ArgumentError(f"layer {name!r} gives {len(node.output_tensors)} tensors (allowed: 1)")
        return node.output_tensors[0]
    output = _output(layer, path[1:], name, whole)
    given = {id(inside): tensor for inside, tensor in zip(layer.inputs, node.input_tensors, strict=True)}
    if id(output) in given:  # a model that gives back what it takes makes a cycle
        return given[id(output)]
    inner = keras.Model(layer.inputs, output)
    return inner(node.input_tensors[0] if len(node.input_tensors) == 1 else list(node.input_tensors))


def _node(whole: keras.Model, layer: keras.Layer) -> Any:
    """Where the layer is called in `whole`: a layer may be called in other models, too, or several times."""
    within = {id(tensor) for node in _nodes(whole) for tensor in node.output_tensors}
    nodes = [node for node in layer._inbound_nodes if all(id(tensor) in within for tensor in node.output_tensors)]
    return (nodes or layer._inbound_nodes)[-1]


def _nodes(whole: keras.Model) -> list[Any]:
    functional = getattr(whole, "_functional", whole)  # a Sequential keeps its graph in an inner model
    return [node for depth in functional._nodes_by_depth.values() for node in depth]
