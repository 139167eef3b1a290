"""What a cut at each layer costs: parameters and multiply-accumulates, of the layer and of all that it depends on.

Keras is imported inside, so that what is printed can be read without it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import edgefeat
from edgefeat import EdgefeatError, ExportError
from edgefeat._records import from_json, to_json
from edgefeat_export._spec import RANDOM, NetworkSpec

if TYPE_CHECKING:
    import keras

__all__ = ["Layer", "LayerList", "costs", "list_layers", "listed_apart"]


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
    """Every layer of the backbone or of the saved model. No weights are fetched.

    A backbone's classifier is listed, too, where pictures of that size can be given to it. Only `backbone`, `alpha` and
    `size` of `spec` matter. Raises as `build_trunk` does.
    """
    import keras

    from edgefeat_export._backbones import backbone_named
    from edgefeat_export._model_file import is_model_file, load_model, model_name
    from edgefeat_export._trunk import build_trunk

    if is_model_file(spec.backbone):  # all of it, though it may have outputs that no one cut gives
        model = load_model(spec)
        height, width = model.inputs[0].shape[1:3]
        return LayerList(model_name(spec.backbone), int(height), int(width), costs(model))
    trunk = build_trunk(replace(spec, weights=RANDOM, layers=()))
    layers = costs(trunk.model)
    backbone = backbone_named(spec.backbone)
    if not backbone.fixed_top or trunk.size == (backbone.size, backbone.size):
        keras.utils.clear_session()  # else the layers that Keras names would be numbered on
        options = {} if spec.alpha is None else {"alpha": spec.alpha}
        whole = backbone.factory(include_top=True, weights=None, input_shape=(*trunk.size, 3), **options)
        known = {layer.name for layer in layers}
        layers += tuple(replace(layer, top=True) for layer in costs(whole) if layer.name not in known)
    return LayerList(trunk.name, *trunk.size, layers)


def listed_apart(spec: NetworkSpec) -> LayerList:
    """`list_layers` in a process of its own, whose log lines, TensorFlow's among them, nobody sees."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=json.dumps(to_json(spec)),
        capture_output=True,
        text=True,
        env=environment,
    )
    *_, last = done.stdout.splitlines() or [""]
    if done.returncode not in (0, 1) or not last.startswith("{"):
        words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ExportError(f"listing the layers failed: {words[-1] if words else f'exit status {done.returncode}'}")
    said = json.loads(last)
    if done.returncode == 1:
        kind: type[EdgefeatError] = getattr(edgefeat, said["kind"])
        raise kind(said["message"])
    return from_json(LayerList, said)


def costs(model: keras.Model) -> tuple[Layer, ...]:
    """The layers of a model, in the order of `layer_names`: those of an inner model behind it, named by path."""
    layers, _ = _walk(model, "", [_Value(source, {}, {}) for source in model.inputs], ())
    return tuple(layers)


@dataclass(frozen=True, slots=True)
class _Value:
    """A tensor and the work for it: MACs of each call and size of each weight, by identity, so that unions are sums."""

    tensor: Any
    calls: dict[tuple[int, ...], int]
    weights: dict[int, int]


def _walk(
    model: keras.Model, prefix: str, given: Sequence[_Value], place: tuple[int, ...]
) -> tuple[list[Layer], list[_Value]]:
    """The layers of `model` called on `given`, and its outputs. `place` tells this call of the model from others."""
    import keras

    graph = getattr(model, "_functional", model)  # a Sequential keeps its graph in an inner model
    values = {id(source): value for source, value in zip(graph.inputs, given, strict=True)}
    nodes = [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]
    within = {id(node) for node in nodes}
    rows: dict[int, list[Layer]] = {}
    for node in nodes:
        operation, here = node.operation, (*place, id(node))
        sources = [values[id(tensor)] for tensor in node.input_tensors]
        inner: list[Layer] = []
        if node.is_input:
            results = [values[id(tensor)] for tensor in node.output_tensors]
        elif isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            inner, results = _walk(operation, f"{prefix}{operation.name}/", sources, here)
        else:
            results = _called(node, sources, values, here)
        values.update({id(tensor): value for tensor, value in zip(node.output_tensors, results, strict=True)})
        # A layer that is called several times is cut at its last call: `cut` does so, too.
        last = next(call for call in reversed(operation._inbound_nodes) if id(call) in within)
        if node is last and isinstance(operation, keras.Layer):
            rows[id(operation)] = [_layer(prefix, operation, sources, results), *inner]
    return [row for layer in model.layers for row in rows[id(layer)]], [values[id(output)] for output in graph.outputs]


def _called(node: Any, sources: Sequence[_Value], values: dict[int, _Value], here: tuple[int, ...]) -> list[_Value]:
    """What an operation makes of `sources`."""
    tensors = node.output_tensors
    if any(None in tensor.shape[1:] for tensor in tensors):  # inside a model that was made for pictures of any size
        args, kwargs = node.arguments.fill_in({key: value.tensor for key, value in values.items()})
        made = node.operation.compute_output_spec(*args, **kwargs)
        tensors = list(made) if isinstance(made, list | tuple) else [made]
    calls, weights = _work(sources)
    calls[here] = _macs(node.operation, [source.tensor.shape for source in sources], tensors[0].shape)
    weights.update({id(weight): _size(weight.shape) for weight in getattr(node.operation, "weights", ())})
    return [_Value(tensor, calls, weights) for tensor in tensors]


def _work(values: Sequence[_Value]) -> tuple[dict[tuple[int, ...], int], dict[int, int]]:
    """The calls and the weights that `values` need together."""
    calls = {call: macs for value in values for call, macs in value.calls.items()}
    return calls, {weight: size for value in values for weight, size in value.weights.items()}


def _layer(prefix: str, layer: keras.Layer, sources: Sequence[_Value], results: Sequence[_Value]) -> Layer:
    before, _ = _work(sources)
    calls, weights = _work(results)
    shape = tuple(results[0].tensor.shape[1:])
    return Layer(
        name=prefix + layer.name,
        kind=type(layer).__name__,
        shape=shape if len(results) == 1 and None not in shape else None,
        parameters=layer.count_params(),
        macs=sum(macs for call, macs in calls.items() if call not in before),
        cumulative_parameters=sum(weights.values()),
        cumulative_macs=sum(calls.values()),
        top=False,
    )


def _macs(operation: Any, sources: Sequence[Sequence[int | None]], result: Sequence[int | None]) -> int:
    """The multiply-accumulates of a convolution or a dense layer, from shapes with their batch; 0 for any other."""
    from keras import layers

    if not isinstance(operation, layers.Layer) or not operation.weights or None in (*sources[0][1:], *result[1:]):
        return 0
    taken, made = (math.prod(side for side in shape[1:] if side) for shape in (sources[0], result))
    if isinstance(operation, layers.SeparableConv2D):
        pixels = made // int(operation.filters)
        return pixels * (_size(operation.depthwise_kernel.shape) + _size(operation.pointwise_kernel.shape))
    if isinstance(operation, layers.Conv2DTranspose):  # every value that comes in is spread over the whole kernel
        return taken * _size(operation.kernel.shape[:3])
    if isinstance(operation, layers.Conv2D | layers.Dense):  # the kernel's last axis is the filters
        return made * _size(operation.kernel.shape[:-1])
    if isinstance(operation, layers.DepthwiseConv2D):
        return made * _size(operation.kernel.shape[:2])
    return 0


def _size(shape: Sequence[int]) -> int:
    return math.prod(shape)


def _main() -> int:
    try:
        said, status = to_json(list_layers(from_json(NetworkSpec, json.loads(sys.stdin.read())))), 0
    except EdgefeatError as error:
        said, status = {"kind": type(error).__name__, "message": str(error)}, 1
    sys.stdout.write(f"\n{json.dumps(said)}\n")
    return status


if __name__ == "__main__":
    sys.exit(_main())
