"""The cost of a cut at each layer: parameters and multiply-accumulates, of the layer and of all it depends on.

Keras is imported inside functions, so that the records can be used without it.
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
from edgefeat._bundle.json_records import from_json, to_json
from edgefeat_export._network.traced import traced_macs
from edgefeat_export._spec import RANDOM, NetworkSpec, is_hub, is_model_file, model_name

if TYPE_CHECKING:
    from edgefeat_export._models.hub.parts import Parts

__all__ = ["Layer", "LayerList", "costs", "list_layers", "listed_apart"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, named as `--layer` takes it. MACs are for one image.

    `shape` is the shape of its output for one image, or None if it has several outputs and cannot be cut at. The
    cumulative figures are the cost of a cut here: the layer and all it depends on, shared parts counted once. `top` is
    True for layers of the classifier, which a backbone contains only if it is built with one. `inputs` are the names of
    the model's inputs that the layer depends on: a cut requires that this is one image.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    macs: int
    cumulative_parameters: int
    cumulative_macs: int
    top: bool
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerList:
    """The layers of a backbone for images of `height` x `width`, in order.

    `left_out` says why layers of a saved model are missing, because their code is not run.
    """

    backbone: str
    height: int
    width: int
    layers: tuple[Layer, ...]
    left_out: tuple[str, ...] = ()


def list_layers(spec: NetworkSpec) -> LayerList:
    """Return every layer of the backbone or saved model, without downloading weights.

    A backbone's classifier is included if it accepts images of that size. Only `backbone`, `alpha`, `config`, `skipped`
    and `size` of `spec` are used. Raises the errors of `build_trunk`.
    """
    import keras

    from edgefeat_export._models.backbones import backbone_named
    from edgefeat_export._models.hub.parts import is_backbone, parts_of
    from edgefeat_export._models.saved.code.placeholder import left_out
    from edgefeat_export._models.saved.model import load_model
    from edgefeat_export._models.saved.picture_inputs import pictures_of
    from edgefeat_export._network.hub_trunk import hub_parts
    from edgefeat_export._network.named_trunk import build_trunk

    if is_model_file(spec.backbone):  # list all layers, even if no single cut reaches all outputs
        model = load_model(spec)
        if is_backbone(model):
            return _of_parts(model_name(spec.backbone), parts_of(model))
        picture = next(iter(pictures_of(model).values()))
        missing = tuple(dict.fromkeys(why for layer in model._flatten_layers() if (why := left_out(layer))))
        return LayerList(model_name(spec.backbone), picture.height or 0, picture.width or 0, costs(model), missing)
    if is_hub(spec.backbone):
        loaded, parts = hub_parts(replace(spec, weights=RANDOM))
        return _of_parts(loaded.name, parts)
    trunk = build_trunk(replace(spec, weights=RANDOM, layers=()))
    layers = costs(trunk.model)
    backbone = backbone_named(spec.backbone)
    if not backbone.fixed_top or trunk.size == (backbone.size, backbone.size):
        keras.utils.clear_session()  # otherwise Keras continues numbering the layers it names
        options = {} if spec.alpha is None else {"alpha": spec.alpha}
        whole = backbone.factory(include_top=True, weights=None, input_shape=(*trunk.size, 3), **options)
        known = {layer.name for layer in layers}
        layers += tuple(replace(layer, top=True) for layer in costs(whole) if layer.name not in known)
    return LayerList(trunk.name, *trunk.size, layers)


def _of_parts(name: str, parts: Parts) -> LayerList:
    """Return the layers of a backbone of KerasHub, and after them the levels of its pyramid."""
    import keras

    from edgefeat_export._models.saved.graph import giver, inputs_of

    picture = inputs_of(parts.model)[0]
    layers = costs(parts.model)
    known = {layer.name: layer for layer in layers}
    for level, tensor in parts.named.items():
        if level in known:
            continue
        part = {layer.name: layer for layer in costs(keras.Model(picture, tensor))}
        last = part[giver(tensor).name]
        layers += (replace(last, name=level, kind="level", shape=tuple(tensor.shape[1:]), parameters=0, macs=0),)
    return LayerList(name, int(picture.shape[1]), int(picture.shape[2]), layers)


def listed_apart(spec: NetworkSpec) -> LayerList:
    """Return `list_layers` run in a separate process, which hides the log lines of TensorFlow."""
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


def costs(model: Any) -> tuple[Layer, ...]:
    """Return the layers of a model in the order of `layer_names`: those of an inner model after it, named by path."""
    from edgefeat_export._models.saved.graph import inputs_of
    from edgefeat_export._models.saved.picture_inputs import input_name

    given = [
        _Value(source, tuple(source.shape), {}, {}, frozenset([input_name(source)])) for source in inputs_of(model)
    ]
    layers, _ = _walk(model, "", given, ())
    order = [input_name(source) for source in inputs_of(model)]
    return tuple(replace(layer, inputs=tuple(sorted(layer.inputs, key=order.index))) for layer in layers)


@dataclass(frozen=True, slots=True)
class _Value:
    """A tensor and the work it takes: MACs per call and size per weight, by identity, so that unions can be summed.

    `shape` includes the batch; `inputs` are the names of the inputs it depends on.
    """

    tensor: Any
    shape: tuple[int | None, ...]
    calls: dict[tuple[int, ...], int]
    weights: dict[int, int]
    inputs: frozenset[str]


def _walk(model: Any, prefix: str, given: Sequence[_Value], place: tuple[int, ...]) -> tuple[list[Layer], list[_Value]]:
    """Return the layers of `model` called on `given`, and its outputs. `place` identifies this call of the model."""
    from edgefeat_export._models.saved.code.placeholder import left_out
    from edgefeat_export._models.saved.graph import calls, inputs_of, is_layer, is_model, key

    graph = getattr(model, "_functional", None) or model  # a Sequential of Keras 3 keeps its graph in an inner model
    values = {key(source): value for source, value in zip(inputs_of(model), given, strict=True)}
    made = calls(model)
    within = {id(call.node) for call in made}
    rows: dict[int, list[Layer]] = {}
    for call in made:
        operation, here = call.layer, (*place, id(call.node))
        sources = [values[key(tensor)] for tensor in call.sources]
        inner: list[Layer] = []
        if call.is_input:
            results = [values[key(tensor)] for tensor in call.results]
        elif is_model(operation):
            inner, results = _walk(operation, f"{prefix}{operation.name}/", sources, here)
        else:
            results = _called(call, sources, values, here)
        values.update({key(tensor): value for tensor, value in zip(call.results, results, strict=True)})
        # A layer that is called several times is cut at its last call, as in `cut`.
        last = next(node for node in reversed(operation._inbound_nodes) if id(node) in within)
        if call.node is last and is_layer(operation) and not left_out(operation):
            rows[id(operation)] = [_layer(prefix, operation, sources, results), *inner]
    listed = [row for layer in model.layers for row in rows.get(id(layer), [])]
    return listed, [values[key(output)] for output in graph.outputs]


def _called(call: Any, sources: Sequence[_Value], values: dict[Any, _Value], here: tuple[int, ...]) -> list[_Value]:
    """Return the results of an operation on `sources`."""
    shapes = [tuple(tensor.shape) for tensor in call.results]
    if any(None in shape[1:] for shape in shapes):  # inside a model that accepts images of any size
        shapes = _shapes_of(call, sources, values)
    made, weights, inputs = _work(sources)
    made[here] = _macs(call.layer, [source.shape for source in sources], shapes[0])
    if _is_composite(call.layer):
        made[here] = traced_macs(call, [source.shape for source in sources])
    weights.update({id(weight): _size(weight.shape) for weight in getattr(call.layer, "weights", ())})
    return [_Value(tensor, shape, made, weights, inputs) for tensor, shape in zip(call.results, shapes, strict=True)]


def _shapes_of(call: Any, sources: Sequence[_Value], values: dict[Any, _Value]) -> list[tuple[int | None, ...]]:
    """Return the shapes of the results of a call for sources of fixed size."""
    from edgefeat_export._models.saved.graph import is_keras2

    if not is_keras2(call.layer):
        import keras

        given = {
            id(tensor): keras.KerasTensor(value.shape, dtype=tensor.dtype)
            for tensor, value in zip(call.sources, sources, strict=True)
        }
        args, kwargs = call.node.arguments.fill_in(given)
        made = call.layer.compute_output_spec(*args, **kwargs)
        return [tuple(one.shape) for one in (made if isinstance(made, list | tuple) else [made])]
    import tensorflow as tf

    taken = [tf.TensorShape(source.shape) for source in sources]
    found = call.layer.compute_output_shape(taken[0] if len(taken) == 1 else taken)
    return [tuple(shape) for shape in (found if isinstance(found, list) else [found])]


def _work(values: Sequence[_Value]) -> tuple[dict[tuple[int, ...], int], dict[int, int], frozenset[str]]:
    """Return the calls, the weights and the inputs that `values` need together."""
    made = {call: macs for value in values for call, macs in value.calls.items()}
    weights = {weight: size for value in values for weight, size in value.weights.items()}
    return made, weights, frozenset().union(*(value.inputs for value in values))


def _layer(prefix: str, layer: Any, sources: Sequence[_Value], results: Sequence[_Value]) -> Layer:
    before, _, _ = _work(sources)
    made, weights, inputs = _work(results)
    shape = tuple(side for side in results[0].shape[1:] if side is not None)
    return Layer(
        name=prefix + layer.name,
        kind=getattr(layer, "graph_kind", type(layer).__name__),
        shape=shape if len(results) == 1 and None not in results[0].shape[1:] else None,
        parameters=layer.count_params(),
        macs=sum(macs for call, macs in made.items() if call not in before),
        cumulative_parameters=sum(weights.values()),
        cumulative_macs=sum(made.values()),
        top=False,
        inputs=tuple(inputs),
    )


def _macs(operation: Any, sources: Sequence[Sequence[int | None]], result: Sequence[int | None]) -> int:
    """Return the multiply-accumulates of a convolution or a dense layer, from shapes with batch; 0 for other layers."""
    from edgefeat_export._models.saved.graph import is_layer

    if hasattr(operation, "graph_macs"):  # a part of a graph
        return int(operation.graph_macs)
    if not is_layer(operation) or not operation.weights or not sources or None in (*sources[0][1:], *result[1:]):
        return 0
    taken, made = (math.prod(side for side in shape[1:] if side) for shape in (sources[0], result))
    kinds = {kind.__name__ for kind in type(operation).__mro__}
    if "SeparableConv2D" in kinds:
        pixels = made // int(operation.filters)
        return pixels * (_size(operation.depthwise_kernel.shape) + _size(operation.pointwise_kernel.shape))
    if "DepthwiseConv2D" in kinds:  # tf-keras makes this a Conv2D, too
        kernel = getattr(operation, "depthwise_kernel", None)
        return made * _size((kernel if kernel is not None else operation.kernel).shape[:2])
    if "Conv2DTranspose" in kinds:  # every input value is multiplied by the whole kernel
        return taken * _size(operation.kernel.shape[:3])
    if kinds & {"Conv2D", "Dense"}:  # the kernel's last axis is the filters
        return made * _size(operation.kernel.shape[:-1])
    return 0


def _is_composite(operation: Any) -> bool:
    """Return whether the called object is a layer of Keras 3 that calls layers of its own, such as attention."""
    from edgefeat_export._models.saved.graph import is_keras2, is_layer

    return is_layer(operation) and not is_keras2(operation) and len(list(operation._flatten_layers())) > 1


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
    import edgefeat_export._models.lean_keras  # noqa: F401

    sys.exit(_main())
