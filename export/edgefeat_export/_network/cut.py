"""Cut a Keras model, of Keras 3 or tf-keras, at layers, also inside its inner models."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgefeat import ArgumentError
from edgefeat_export._models.saved.code.placeholder import left_out
from edgefeat_export._models.saved.graph import calls, functional, giver, inputs_of, is_model, key, needs, scope_name
from edgefeat_export._network.network import tap_name

__all__ = ["cut", "layer_names"]


def cut(whole: Any, names: Sequence[str], outputs: Mapping[str, Any] | None = None) -> tuple[Any, tuple[str, ...]]:
    """Return the part of `whole` up to the named layers, and their names; without names, up to its last layer.

    A layer of an inner model is named by its path, `inner/layer`. `outputs` are further tensors of `whole` that can be
    cut at, by name. The part has only the inputs of `whole` that it depends on. Raises ArgumentError for an unknown
    name, and for two layers whose taps would have the same name.
    """
    if len(set(names)) != len(names):
        raise ArgumentError(f"a layer is named twice: {', '.join(names)}")
    if not names:
        if len(whole.outputs) != 1:
            raise ArgumentError(
                f"{whole.name} has {len(whole.outputs)} outputs: choose with --layer where to cut it "
                f"(the outputs come from layers {', '.join(dict.fromkeys(_giver(output) for output in whole.outputs))})"
            )
        return whole, (_giver(whole.outputs[0]),)
    _check_taps(names)
    further = outputs or {}
    tensors = [further[name] if name in further else _output(whole, name, name, whole, further) for name in names]
    needed = {key(source) for source in needs(tensors)}
    sources = [source for source in inputs_of(whole) if key(source) in needed]
    return functional(sources, tensors if len(tensors) > 1 else tensors[0]), tuple(names)


def layer_names(model: Any, prefix: str = "") -> Iterator[str]:
    """Yield the name of every layer that is loaded, in order; layers of inner models are named by path."""
    for layer in model.layers:
        if left_out(layer):
            continue
        yield prefix + layer.name
        if is_model(layer):
            yield from layer_names(layer, f"{prefix}{layer.name}/")


def _check_taps(names: Sequence[str]) -> None:
    taps: dict[str, str] = {}
    for name in names:
        other = taps.setdefault(tap_name(name).lower(), name)  # TensorFlow ignores the case of names
        if other != name:
            raise ArgumentError(
                f"layers {other!r} and {name!r} would both be tap {tap_name(name)!r}: rename one, or cut at only one"
            )


def _giver(output: Any) -> str:
    """Return the name of the layer that computes this output."""
    return str(giver(output).name)


def _output(model: Any, path: str, name: str, whole: Any, further: Iterable[str] = ()) -> Any:
    """Return the output of the layer at `path` as a tensor of `model`; errors use its `name` in `whole`."""
    layer, rest = _found(model, path)
    if layer is None:
        names = [*layer_names(whole), *further]
        near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
        where = f"similar: {', '.join(near)}; " if near else ""
        raise ArgumentError(f"layer {name!r} is not in {whole.name} ({where}the last are: {', '.join(names[-6:])})")
    call = _last_call(model, layer)
    if not rest:
        if len(call.results) != 1:
            raise ArgumentError(f"layer {name!r} gives {len(call.results)} tensors (allowed: 1)")
        return call.results[0]
    output = _output(layer, rest, name, whole)
    given = {key(inside): tensor for inside, tensor in zip(inputs_of(layer), call.sources, strict=True)}
    if key(output) in given:  # a model that returns its input makes a cycle
        return given[key(output)]
    needed = {key(source) for source in needs([output])}
    sources = [source for source in inputs_of(layer) if key(source) in needed]
    inner = functional(sources, output)
    tensors = [given[key(source)] for source in sources]
    return inner(tensors[0] if len(tensors) == 1 else tensors)


def _found(model: Any, path: str) -> tuple[Any, str]:
    """Return the layer of `model` that `path` leads to or through, and the rest of the path. Names may have slashes."""
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
    """Return the last call of the layer in `model`: it may be called several times, and in other models."""
    within = {id(call.node): call for call in calls(model)}
    return [within[id(node)] for node in layer._inbound_nodes if id(node) in within][-1]
