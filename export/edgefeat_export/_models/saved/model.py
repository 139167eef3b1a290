"""Load a saved model of Keras 2 or 3, or a SavedModel's signature, in float32 and with a fixed image size."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from edgefeat import ArgumentError
from edgefeat_export._models.normalization import finalize
from edgefeat_export._models.saved.formats.loading import load_layers, shortened
from edgefeat_export._models.saved.graph import inputs_of, is_keras2, is_model, library_of, scope_name
from edgefeat_export._models.saved.picture_inputs import (
    input_name,
    picture_input,
    pictures_of,
    wanted_size,
    why_no_picture,
)
from edgefeat_export._models.saved.rows import unflattened
from edgefeat_export._spec import NetworkSpec

__all__ = ["load_model"]

_FLOATS = {"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"}


def load_model(spec: NetworkSpec) -> Any:
    """Return the model saved at `spec.backbone`, of Keras 3 or tf-keras, with a fixed input size and in float32.

    Nothing in the file is executed. Raises ArgumentError if the model takes no image, or not of that size, or is
    quantized, and ExportError if the file cannot be read or contains code (a Lambda layer, a custom class).
    """
    if spec.alpha is not None:
        raise ArgumentError("alpha applies only to backbones known by name: leave --alpha out")
    return _sized(load_layers(spec), spec)


def _sized(model: Any, spec: NetworkSpec) -> Any:
    """Return the model with a fixed image size, in float32, and with names that TensorFlow accepts."""
    if not is_model(model):
        raise ArgumentError(
            f"model {spec.backbone} has no defined input (allowed: a built functional or sequential model)"
        )
    model = unflattened(model, spec.size)
    sources = inputs_of(model)
    if not pictures_of(model):
        raise ArgumentError(f"model {spec.backbone} {why_no_picture(sources[0])}")
    _check_axes(model, spec)
    preprocessor = getattr(model, "preprocessor", None)  # of a task of KerasHub, which a copy of its layers lacks
    converter = getattr(preprocessor, "image_converter", None)
    shapes = []
    for source in sources:
        picture = picture_input(source)
        if picture is None:
            shapes.append(tuple(source.shape)[1:])
            continue
        own = (picture.height, picture.width)
        usual = wanted_size(model, source) or getattr(converter, "image_size", None) or (224, 224)
        wanted = spec.size or tuple(side or other for side, other in zip(own, usual, strict=True))
        if len(sources) == 1 and any(
            side is not None and side != other for side, other in zip(own, wanted, strict=True)
        ):
            sides = "x".join("?" if side is None else str(side) for side in own)
            raise ArgumentError(f"model {spec.backbone} takes {sides} images, not {wanted[0]}x{wanted[1]}")
        height, width = (side or other for side, other in zip(own, wanted, strict=True))
        shapes.append(picture.shape(height, width))
    model = _in_float32(model, spec)
    if any(tuple(source.shape) != (None, *shape) for source, shape in zip(inputs_of(model), shapes, strict=True)):
        model = _fixed(model, shapes, spec)
    if preprocessor is not None and getattr(model, "preprocessor", None) is None:
        object.__setattr__(model, "preprocessor", preprocessor)  # not as a layer of the model
    _rename(model)
    return model


def _check_axes(model: Any, spec: NetworkSpec) -> None:
    """Raise ArgumentError, naming the layer, if the model has its channels first."""
    for layer in model._flatten_layers():
        if getattr(layer, "data_format", None) == "channels_first":
            raise ArgumentError(
                f"model {spec.backbone} has its channels first: layer {layer.name!r} has data_format channels_first "
                "(allowed: channels_last, which TFLite requires): build it with channels_last and copy its "
                "weights"
            )


def _rename(model: Any) -> None:
    """Rename layers whose names TensorFlow does not accept, in place."""
    taken = {layer.name for layer in model.layers}
    for layer in model.layers:
        name = scope_name(layer.name)
        if name != layer.name:
            while name in taken:
                name += "_"
            taken.add(name)
            layer.name = name
        if is_model(layer):
            _rename(layer)


def _in_float32(model: Any, spec: NetworkSpec) -> Any:
    """Return the same layers and weights, all in float32."""
    policies = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    for layer, policy in policies:
        if getattr(policy, "quantization_mode", None) is not None:
            raise ArgumentError(
                f"model {spec.backbone} is already quantized: layer {layer.name!r} has policy {policy.name} "
                "(allowed: float32, float16 and mixed policies): save the model before it is quantized"
            )
    if not any(policy.name in _FLOATS for _, policy in policies):
        return model
    return _with_weights_of(model, type(model).from_config(_float32(model.get_config())))


def _float32(config: Any) -> Any:
    """Return a layer's config with float32 in place of every other policy of real numbers."""
    if isinstance(config, list | tuple):
        return type(config)(_float32(value) for value in config)
    if not isinstance(config, dict):
        return config
    return {
        key: "float32" if key == "dtype" and _policy(value) in _FLOATS else _float32(value)
        for key, value in config.items()
    }


def _policy(dtype: Any) -> str | None:
    name = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
    return name if isinstance(name, str) else None


def _fixed(model: Any, shapes: list[tuple[int, ...]], spec: NetworkSpec) -> Any:
    """Return the same layers and weights, with inputs of fixed sizes and a free batch."""
    library = library_of(is_keras2(model))
    sources = inputs_of(model)
    given: Any = [
        library.Input(shape, name=input_name(source), dtype=source.dtype)
        for source, shape in zip(sources, shapes, strict=True)
    ]
    if library is keras and not isinstance(model, keras.Sequential):
        given = keras.tree.pack_sequence_as(model._inputs_struct, given)
    try:
        copy = library.models.clone_model(model, input_tensors=given)
        if any(hasattr(layer, "first_arithmetic") for layer in copy.layers):  # of a graph, which fails when it runs
            _try(copy, shapes)
    except (ValueError, TypeError) as error:
        size = "x".join(map(str, shapes[0][:2]))
        raise ArgumentError(
            f"model {spec.backbone} cannot be built for images of {size}: {shortened(error)}: set --input-size"
        ) from error
    return _with_weights_of(model, copy)


def _try(model: Any, shapes: list[tuple[int, ...]]) -> None:
    """Raise ValueError if the model, of TensorFlow 2's Keras, does not give one row for each of two images.

    An output without rows, such as the first of them, is no feature, but a model that ends so can be cut before it.
    """
    import tensorflow as tf

    kinds = (getattr(source.dtype, "as_numpy_dtype", source.dtype) for source in model.inputs)
    try:
        found = model([np.zeros((2, *shape), kind) for shape, kind in zip(shapes, kinds, strict=True)])
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(str(error)) from error
    for output in found if isinstance(found, list) else [found]:
        if output.shape.rank and output.shape.rank > 1 and output.shape[0] != 2:
            raise ValueError(f"two images give {output.shape[0]} rows")


def _with_weights_of(model: Any, like: Any) -> Any:
    """Return `like`, which has layers of the same names, with the weights of `model`."""
    for layer in model.layers:
        weights = [
            np.asarray(weight, np.float32) if weight.dtype.kind not in "iub" else weight
            for weight in layer.get_weights()
        ]
        if weights:  # an input of a clone may have another name
            like.get_layer(layer.name).set_weights(weights)
    finalize(like)
    return like
