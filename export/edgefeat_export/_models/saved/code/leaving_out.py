"""Leave layers out of a model's description: those whose code is not run, and those that depend on them.

Each is replaced by a placeholder in the same place of the graph, so that Keras finds the weights of the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import keras

from edgefeat import ArgumentError
from edgefeat_export._models.saved.code.allowlist import FORBIDDEN_LAYERS
from edgefeat_export._models.saved.code.config import MODELS, named
from edgefeat_export._models.saved.code.placeholder import described
from edgefeat_export._models.saved.code.references import Source, call_on, renumbered, sources
from edgefeat_export._models.saved.graph import scope_name

__all__ = ["Partial", "without_code"]

#: What the name of a class may be, with the package it was registered in.
_CLASS = r"\w[\w .>/+-]{0,200}"

#: Returns why a layer is not loaded, from its description; None if it is.
Refused = Callable[[dict[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class Partial:
    """The description of a model without some of its layers.

    `code` are the layers whose code is not run, by path, with the reason. `out` are the paths of all layers left out,
    `kinds` their classes.
    """

    config: dict[str, Any]
    code: dict[str, str]
    out: frozenset[str]
    kinds: frozenset[str]


def without_code(config: dict[str, Any], refused: Refused, skipped: Collection[str]) -> Partial:
    """Return the description without the layers that are `refused`, and without those that depend only on them.

    Of the refused layers, those in `skipped`, by path, are replaced by an Identity, and what depends on them stays.
    Raises ArgumentError if such a layer takes or gives several tensors, and for other names.
    """
    walk = _Walk(refused, skipped)
    changed, _ = walk.model(config, "")
    for name in skipped:
        if not any(name in _names(path) for path in walk.code):
            allowed = ", ".join(walk.code) or "none in this model"
            raise ArgumentError(f"layer {name!r} cannot be skipped (allowed: layers whose code is not run: {allowed})")
    return Partial(changed, walk.code, frozenset(walk.out), frozenset(walk.kinds))


@dataclass(frozen=True, slots=True)
class _Judged:
    """A layer on its own: its description, changed within if it is a model, and why its output depends on code.

    `is_code` says whether it is to be replaced itself.
    """

    name: str
    layer: dict[str, Any]
    why: str | None
    is_code: bool


@dataclass(slots=True)
class _Walk:
    refused: Refused
    skipped: Collection[str]
    code: dict[str, str] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    def model(self, config: dict[str, Any], prefix: str) -> tuple[dict[str, Any], str | None]:
        """Return the model's description without code, and why its output depends on code; None if it does not."""
        inside = config.get("config")
        is_list = isinstance(inside, list)  # a Sequential of Keras before 2.3
        own: dict[str, Any] = {"layers": inside} if is_list else inside if isinstance(inside, dict) else {}
        layers = own.get("layers")
        if config.get("class_name") not in MODELS or not _are_layers(layers):
            return config, None
        judged = [self._judged(layer, prefix) for layer in layers]
        if config["class_name"] == "Sequential":
            made, why = self._chain(judged, prefix)
            return {**config, "config": made if is_list else {**own, "layers": made}}, why
        changed, why = self._graph(own, judged, prefix)
        return {**config, "config": changed}, why

    def _judged(self, layer: dict[str, Any], prefix: str) -> _Judged:
        name = str(named(layer))
        if layer.get("class_name") in MODELS:
            return _Judged(name, *self.model(layer, f"{prefix}{name}/"), is_code=False)
        why = self.refused(layer)
        if why is None:
            return _Judged(name, layer, None, is_code=False)
        self.code[prefix + name] = why
        skipped = any(one in self.skipped for one in _names(prefix + name))
        return _Judged(name, layer, None if skipped else why, is_code=True)

    def _chain(self, layers: Sequence[_Judged], prefix: str) -> tuple[list[dict[str, Any]], str | None]:
        made: list[dict[str, Any]] = []
        why: str | None = None
        for one in layers:
            why = why or one.why
            if why is None:
                made.append(self._identity(one, prefix) if one.is_code else one.layer)
            else:
                made.append(self._placeholder(one, prefix, why, 1))
        return made, why

    def _graph(
        self, inside: dict[str, Any], layers: Sequence[_Judged], prefix: str
    ) -> tuple[dict[str, Any], str | None]:
        graph = _Graph.of(inside, layers)
        made, shifts = [], {}
        for one in layers:
            needs = [graph.reason(call) for call in graph.calls[one.name]]
            if not one.is_code and (not needs or None in needs):  # an inner model may have placeholders within
                made.append(one.layer)
                continue
            calls, outputs = graph.calls[one.name], graph.outputs.get(one.name, 1)
            why = one.why or next((reason for reason in needs if reason is not None), None)
            if why is None and (outputs > 1 or any(len(call) > 1 for call in calls)):
                raise ArgumentError(f"layer {prefix + one.name!r} cannot be skipped: it takes or gives several tensors")
            new = self._identity(one, prefix) if why is None else self._placeholder(one, prefix, why, outputs)
            made.append({**new, "name": one.name, "inbound_nodes": [call_on(call) for call in calls if call]})
            shifts[one.name] = graph.first.get(one.name, 0)
        made = [{**layer, "inbound_nodes": renumbered(_calls(layer), shifts)} for layer in made]
        ends = renumbered(inside.get("output_layers"), shifts)
        return {**inside, "layers": made, "output_layers": ends}, graph.reason(graph.ends)

    def _identity(self, one: _Judged, prefix: str) -> dict[str, Any]:
        """Return the description of a layer of Keras that passes its input on."""
        kind = one.layer["class_name"]
        if hasattr(keras.layers, kind) and kind not in FORBIDDEN_LAYERS:  # archives number the weights by such names
            raise ArgumentError(f"layer {prefix + one.name!r} cannot be skipped: Keras has a class {kind}, too")
        self.out.add(prefix + one.name)
        shape = _input_shape(one)
        config = {"name": one.name} | ({} if shape is None else {"batch_input_shape": shape})
        where = {"module": "keras.layers", "registered_name": None} if "module" in one.layer else {}
        return {"class_name": "Identity", "config": config, **where}

    def _placeholder(self, one: _Judged, prefix: str, why: str, outputs: int) -> dict[str, Any]:
        kind = str(one.layer.get("class_name"))
        self.out.add(prefix + one.name)
        self.kinds.add(kind)
        made = described(kind, one.name, why, outputs, _input_shape(one))
        if "module" in one.layer:  # as archives describe layers
            made |= {"module": None, "registered_name": made["class_name"]}
        return made


def _names(path: str) -> tuple[str, str]:
    """Return the names by which the user knows the layer: its own, and the one that TensorFlow accepts."""
    return path, scope_name(path)


def _input_shape(one: _Judged) -> Any:
    """Return the shape of the model's input, which a first layer of Keras 2 may describe."""
    own = one.layer.get("config")
    return own.get("batch_input_shape") if isinstance(own, dict) else None


def _are_layers(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(
        isinstance(layer, dict) and _is_class(layer.get("class_name")) for layer in value
    )


def _is_class(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(_CLASS, name) is not None


def _calls(layer: dict[str, Any]) -> list[Any]:
    found = layer.get("inbound_nodes")
    return found if isinstance(found, list) else []


@dataclass(frozen=True, slots=True)
class _Graph:
    """The calls of the layers of a model, by name, and the model's `ends`.

    `first` are the numbers of each layer's first call: Keras counts those of an inner model from 0 or from 1, by its
    kind. `outputs` are the numbers of outputs, `why` the reasons why a call, by name and index, depends on code.
    """

    calls: dict[str, list[list[Source]]]
    ends: list[Source]
    first: dict[str, int]
    outputs: dict[str, int]
    why: dict[tuple[str, int], str]

    @classmethod
    def of(cls, inside: dict[str, Any], layers: Sequence[_Judged]) -> _Graph:
        names = {one.name for one in layers}
        calls = {one.name: [list(sources(call, names)) for call in _calls(one.layer)] for one in layers}
        ends = list(sources(inside.get("output_layers"), names))
        first: dict[str, int] = {}
        outputs: dict[str, int] = {}
        for source in [*(source for made in calls.values() for call in made for source in call), *ends]:
            first[source.name] = min(source.call, first.get(source.name, source.call))
            outputs[source.name] = max(source.output + 1, outputs.get(source.name, 1))
        graph = cls(calls, ends, first, outputs, {})
        known = -1
        while known < len(graph.why):  # a layer may be listed before one that its later calls depend on
            known = len(graph.why)
            for one in layers:
                for index, call in enumerate(calls[one.name] or [[]]):
                    reason = one.why or graph.reason(call)
                    if reason is not None:
                        graph.why.setdefault((one.name, index), reason)
        return graph

    def reason(self, call: Sequence[Source]) -> str | None:
        """Return why a call on these tensors depends on code, or None if it does not."""
        places = ((source.name, source.call - self.first[source.name]) for source in call)
        return next((self.why[place] for place in places if place in self.why), None)
