"""Cuts a Keras model, of Keras 3 or tf-keras, at layers, also inside the models it is made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from edgefeat import ArgumentError
from edgefeat_export._models.saved.graph import calls, functional, giver, inputs_of, is_model, key, needs
from edgefeat_export._models.saved.model import scope_name
from edgefeat_export._network.heads import tap_name

__all__ = ["cut", "layer_names"]


def cut(whole: Any, names: Sequence[str]) -> tuple[Any, tuple[str, ...]]:
    """Return the part of `whole` up to the layers of these names, and the names; none given means its last layer.

    A layer of a model inside the model is named by its path, `inner/layer`. The part has only those inputs of `whole`
    that it depends on. Raises ArgumentError for an unknown name, and for two whose taps would have the same.
    """
    if len(set(names)) != len(names):
        raise ArgumentError(f"layers {', '.join(names)} repeat a name")
    if not names:
        if len(whole.outputs) != 1:
            raise ArgumentError(
                f"{whole.name} has {len(whole.outputs)} outputs: say with --layer where to cut it "
                f"(they are of: {', '.join(dict.fromkeys(_giver(output) for output in whole.outputs))})"
            )
        return whole, (_giver(whole.outputs[0]),)
    _check_taps(names)
    outputs = [_output(whole, name, name, whole) for name in names]
    needed = {key(source) for source in needs(outputs)}
    sources = [source for source in inputs_of(whole) if key(source) in needed]
    return functional(sources, outputs if len(outputs) > 1 else outputs[0]), tuple(names)


def layer_names(model: Any, prefix: str = "") -> Iterator[str]:
    """Yield the name of every layer, those of inner models by path, in order."""
    for layer in model.layers:
        yield prefix + layer.name
        if is_model(layer):
            yield from layer_names(layer, f"{prefix}{layer.name}/")


def _check_taps(names: Sequence[str]) -> None:
    taps: dict[str, str] = {}
    for name in names:
        other = taps.setdefault(tap_name(name).lower(), name)  # TensorFlow tells no names apart by their case
        if other != name:
            raise ArgumentError(
                f"layers {other!r} and {name!r} would both be tap {tap_name(name)!r}: rename one, or cut at one of them"
            )


def _giver(output: Any) -> str:
    """The name of the layer that gives this output."""
    return str(giver(output).name)


def _output(model: Any, path: str, name: str, whole: Any) -> Any:
    """The tensor, in terms of `model`'s inputs, that the layer at `path` gives; for errors, its `name` in `whole`."""
    layer, rest = _found(model, path)
    if layer is None:
        names = list(layer_names(whole))
        near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
        where = f"near it: {', '.join(near)}; " if near else ""
        raise ArgumentError(f"layer {name!r} is not in {whole.name} ({where}the last are: {', '.join(names[-6:])})")
    call = _last_call(model, layer)
    if not rest:
        if len(call.results) != 1:
            raise ArgumentError(f"layer {name!r} gives {len(call.results)} tensors (allowed: 1)")
        return call.results[0]
    output = _output(layer, rest, name, whole)
    given = {key(inside): tensor for inside, tensor in zip(inputs_of(layer), call.sources, strict=True)}
    if key(output) in given:  # a model that gives back what it takes makes a cycle
        return given[key(output)]
    needed = {key(source) for source in needs([output])}
    sources = [source for source in inputs_of(layer) if key(source) in needed]
    inner = functional(sources, output)
    tensors = [given[key(source)] for source in sources]
    return inner(tensors[0] if len(tensors) == 1 else tensors)


def _found(model: Any, path: str) -> tuple[Any, str]:
    """The layer of `model` that `path` leads to or through, and the rest of the path. Names may have slashes."""
    for layer in model.layers:
        for name in {path, scope_name(path)}:
            if layer.name == name:
                return layer, ""
    for layer in model.layers:
        if is_model(layer) and path.startswith(f"{layer.name}/"):
            rest = path[len(layer.name) + 1 :]
            if _found(layer, rest)[0] is not None:
                return layer, rest
    return None, ""


def _last_call(model: Any, layer: Any) -> Any:
    """Where the layer is called in `model`: it may be called in other models, too, or several times."""
    within = {id(call.node): call for call in calls(model)}
    return [within[id(node)] for node in layer._inbound_nodes if id(node) in within][-1]
