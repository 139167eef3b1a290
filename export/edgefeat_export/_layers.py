"""What a cut at each layer costs: parameters and multiply-accumulates, of the layer and of all that it depends on.

Keras is imported inside, so that what is printed can be read without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgefeat_export._spec import NetworkSpec

if TYPE_CHECKING:
    import keras

__all__ = ["Layer", "LayerList", "costs", "list_layers"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, named as `--layer` takes it. MACs are for one picture.

    `shape` is its output's for one picture, None where it gives several tensors and cannot be cut at. The cumulative
    figures are what a cut here costs: the layer and all it depends on, what is shared counted once. `top` is True for
    layers of the classifier, which a backbone has only where it is built with one.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    macs: int
    cumulative_parameters: int
    cumulative_macs: int
    top: bool


@dataclass(frozen=True, slots=True)
class LayerList:
    """The layers of a backbone for pictures of `height` x `width`, in order."""

    backbone: str
    height: int
    width: int
    layers: tuple[Layer, ...]


def list_layers(spec: NetworkSpec) -> LayerList:
    """Every layer of the backbone, its classifier's included, or of the saved model. No weights are fetched.

    Only `backbone`, `alpha` and `size` of `spec` matter. Raises as `build_trunk` does.
    """
    import keras

    from edgefeat_export._backbones import backbone_named
    from edgefeat_export._model_file import is_model_file
    from edgefeat_export._trunk import build_trunk

    trunk = build_trunk(replace(spec, weights="random", layers=()))
    layers = tuple(costs(trunk.model))
    if not is_model_file(spec.backbone):
        keras.utils.clear_session()  # else layers that Keras names would be numbered on
        whole = _with_top(backbone_named(spec.backbone), trunk.size, spec.alpha)
        known = {layer.name for layer in layers}
        layers += tuple(replace(layer, top=True) for layer in costs(whole) if layer.name not in known)
    return LayerList(trunk.name, *trunk.size, layers)


def costs(model: keras.Model) -> Iterator[Layer]:
    """The layers of a model, those of inner models behind it by path, in the order of `layer_names`."""
    inputs = model.inputs
    yield from _walk(model, "", inputs, [_Work({}, {}) for _ in inputs], ())[0]


@dataclass(frozen=True, slots=True)
class _Work:
    """What must be computed for a tensor: MACs of each call, and the size of each weight; both by identity."""

    calls: dict[tuple[int, ...], int]
    weights: dict[int, int]

    @property
    def macs(self) -> int:
        return sum(self.calls.values())

    @property
    def parameters(self) -> int:
        return sum(self.weights.values())


def _union(works: Sequence[_Work]) -> _Work:
    calls, weights = {}, {}
    for work in works:
        calls.update(work.calls)
        weights.update(work.weights)
    return _Work(calls, weights)


def _walk(
    model: keras.Model, prefix: str, given: Sequence[Any], before: Sequence[_Work], place: tuple[int, ...]
) -> tuple[list[Layer], list[Any], list[_Work]]:
    """The layers of `model` called on the tensors `given`, its outputs, and the work for each of these.

    `before` is the work for each of `given`; `place` tells this call of the model from others.
    """
    import keras

    graph = getattr(model, "_functional", model)  # a Sequential keeps its graph in an inner model
    tensors = {id(source): tensor for source, tensor in zip(graph.inputs, given, strict=True)}
    works = {id(source): work for source, work in zip(graph.inputs, before, strict=True)}
    rows: dict[int, list[Layer]] = {}
    for node in _in_order(graph):
        operation = node.operation
        here = (*place, id(node))
        sources = [tensors[id(tensor)] for tensor in node.input_tensors]
        needed = [works[id(tensor)] for tensor in node.input_tensors]
        inner: list[Layer] = []
        if node.is_input:
            results, work = [tensors[id(node.output_tensors[0])]], [works[id(node.output_tensors[0])]]
        elif isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            inner, results, work = _walk(operation, f"{prefix}{operation.name}/", sources, needed, here)
        else:
            results = _results(node, tensors)
            weights = {id(weight): math.prod(weight.shape) for weight in getattr(operation, "weights", ())}
            own = _Work({here: _macs(operation, sources, results)}, weights)
            work = [_union([*needed, own])] * len(results)
        for source, result, needs in zip(node.output_tensors, results, work, strict=True):
            tensors[id(source)], works[id(source)] = result, needs
        # A layer called several times is cut at its last call: _cut does so, too.
        if isinstance(operation, keras.Layer) and node is _last_call(operation, tensors):
            rows[id(operation)] = [_row(prefix, operation, results, _union(needed), _union(work)), *inner]
    layers = [row for layer in model.layers for row in rows.get(id(layer), [])]
    return layers, [tensors[id(output)] for output in graph.outputs], [works[id(output)] for output in graph.outputs]


def _row(prefix: str, layer: keras.Layer, results: Sequence[Any], needed: _Work, work: _Work) -> Layer:
    return Layer(
        name=prefix + layer.name,
        kind=type(layer).__name__,
        shape=tuple(results[0].shape[1:]) if len(results) == 1 else None,
        parameters=layer.count_params(),
        macs=sum(macs for call, macs in work.calls.items() if call not in needed.calls),
        cumulative_parameters=work.parameters,
        cumulative_macs=work.macs,
        top=False,
    )


def _in_order(graph: Any) -> list[Any]:
    """The calls of a model's graph, each behind those whose results it takes."""
    return [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]
