"""Load a saved model of Keras 2 or 3, or a SavedModel's signature, in float32 and with a fixed image size."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._models.hub_package import PACKAGE, keras_hub
from edgefeat_export._models.saved.code.config import (
    REMEDY,
    is_foreign,
    refused_by_keras2,
    refused_by_keras3,
    saved_layers,
    subclassed,
)
from edgefeat_export._models.saved.code.leaving_out import Partial, without_code
from edgefeat_export._models.saved.code.placeholder import placeholder_class
from edgefeat_export._models.saved.code.rewriting import rewritten
from edgefeat_export._models.saved.graph import inputs_of, is_keras2, is_model, scope_name
from edgefeat_export._models.saved.joining import joined
from edgefeat_export._models.saved.keras2 import load_keras2
from edgefeat_export._models.saved.picture_inputs import (
    input_name,
    picture_input,
    pictures_of,
    unflattened,
    wanted_size,
    why_no_picture,
)
from edgefeat_export._models.saved.recognition import SavedModel, first_line, saved_model
from edgefeat_export._models.saved.signature import load_signature
from edgefeat_export._spec import RANDOM, NetworkSpec, model_name

__all__ = ["load_model"]

_FLOATS = {"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"}


def load_model(spec: NetworkSpec) -> Any:
    """Return the model saved at `spec.backbone`, of Keras 3 or tf-keras, with a fixed input size and in float32.

    Nothing in the file is executed. Raises ArgumentError if the model takes no image, or not of that size, or is
    quantized, and ExportError if the file cannot be read or contains code (a Lambda layer, a custom class).
    """
    if spec.alpha is not None:
        raise ArgumentError("alpha applies only to backbones known by name: leave --alpha out")
    with _whole(spec) as saved:
        signature = saved.keras is None and not spec.skipped
        loaded = load_signature(saved) if signature else _loaded(saved, spec)
    return _sized(loaded, spec)


@contextmanager
def _whole(spec: NetworkSpec) -> Iterator[SavedModel]:
    """Yield the saved model, as one file if it was saved in parts; errors name the path that the user gave."""
    saved = saved_model(Path(spec.backbone))
    if saved.kind != "unpacked" and (saved.kind != "json" or spec.weights == RANDOM):
        yield saved
        return
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        path = joined(saved, spec.weights, Path(folder))
        try:
            yield saved_model(path)
        except EdgefeatError as error:
            raise type(error)(str(error).replace(str(path), spec.backbone)) from error


def _loaded(saved: SavedModel, spec: NetworkSpec) -> Any:
    """Return the model in the file, with placeholders for the layers whose code is not run and those that need them.

    Of a folder with such layers it is the serving signature, which has their operations.
    """
    load, refused = (load_keras2, refused_by_keras2) if saved.keras == 2 else (_load_keras3, refused_by_keras3)
    if spec.skipped:
        return _skipping(saved, spec.skipped, without_code(saved.config, refused, spec.skipped), load)
    try:
        return load(saved)
    except ExportError as error:
        partial = without_code(saved.config, refused, ())
        if not partial.code or (saved.kind == "folder" and spec.layers):
            raise
        try:
            # A folder numbers the weights by the layers that have some, but has the whole network as a graph.
            return load_signature(saved) if saved.kind == "folder" else _without(saved, partial, load)
        except EdgefeatError as other:
            raise (other if "damaged" in str(other) else error) from None


def _skipping(saved: SavedModel, skipped: tuple[str, ...], partial: Partial, load: Callable[[SavedModel], Any]) -> Any:
    if saved.kind == "folder":
        raise ArgumentError(f"layers of {saved.path}, a SavedModel folder, cannot be skipped: save it as .keras")
    for name in skipped:
        if name not in {*partial.code, *map(scope_name, partial.code)}:
            allowed = ", ".join(partial.code) or "none in this model"
            raise ArgumentError(f"layer {name!r} cannot be skipped (allowed: layers whose code is not run: {allowed})")
    try:
        return _without(saved, partial, load)
    except ExportError as error:
        if "damaged" in str(error):
            raise
        raise ExportError(
            f"{error} (without {', '.join(skipped)}: a layer can be skipped only if it keeps the shape of its input)"
        ) from error


def _without(saved: SavedModel, partial: Partial, load: Callable[[SavedModel], Any]) -> Any:
    """Return the model that the partial description describes; errors name the file that the user gave."""
    library: Any = keras
    if saved.keras == 2:
        import tf_keras

        library = tf_keras
    for kind in partial.kinds:
        placeholder_class(library, kind)
    with rewritten(saved, partial) as copy:
        try:
            return load(copy)
        except EdgefeatError as error:
            raise type(error)(str(error).replace(str(copy.path), str(saved.path))) from error


def _load_keras3(saved: SavedModel) -> Any:
    if any(str(layer.get("module", "")).startswith(PACKAGE) for layer in (saved.config, *saved_layers(saved.config))):
        keras_hub()  # its layers are then known, like those of Keras
    try:
        if saved.kind == "json":
            return keras.models.model_from_json(json.dumps(saved.config))
        with _known_by_name(saved) as path:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types for a file that it cannot or must not load
        why = _foreign(saved) or f"cannot be loaded by Keras {keras.__version__}: {_first_line(error)}"
        raise ExportError(f"model {saved.path} {why}") from error


@contextmanager
def _known_by_name(saved: SavedModel) -> Iterator[Path]:
    """Yield a path to the file with the suffix by which Keras recognizes the format."""
    suffix = ".keras" if saved.kind == "archive" else ".h5"
    if saved.path.name.lower().endswith((suffix, ".hdf5") if suffix == ".h5" else suffix):
        yield saved.path
        return
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        link = Path(folder) / f"model{suffix}"
        try:
            link.symlink_to(saved.path.resolve())
        except OSError:  # on Windows only administrators can create links
            shutil.copyfile(saved.path, link)
        yield link


def _first_line(error: Exception) -> str:
    if "safe_mode" in str(error) or "unsafe_deserialization" in str(
        error
    ):  # the message says how to run the code anyway
        return "it contains Python code, which is not run"
    return first_line(error)


def _foreign(saved: SavedModel) -> str | None:
    """Return the reason for the first layer that is code instead of a layer of Keras 3; None if none is found."""
    try:
        if is_foreign(saved.config):
            return subclassed(saved.config, model_name(saved.path.name))
        reasons = map(refused_by_keras3, saved_layers(saved.config))
        why = next((why for why in reasons if why is not None), None)
        return None if why is None else why + REMEDY
    except Exception:  # noqa: BLE001  # this only explains why an arbitrary file was not loaded
        return None


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
    shapes = []
    for source in sources:
        picture = picture_input(source)
        if picture is None:
            shapes.append(tuple(source.shape)[1:])
            continue
        own = (picture.height, picture.width)
        wanted = spec.size or tuple(
            side or other for side, other in zip(own, wanted_size(model, source) or (224, 224), strict=True)
        )
        if len(sources) == 1 and any(
            side is not None and side != other for side, other in zip(own, wanted, strict=True)
        ):
            raise ArgumentError(f"model {spec.backbone} takes {own[0]}x{own[1]} images, not {wanted[0]}x{wanted[1]}")
        height, width = (side or other for side, other in zip(own, wanted, strict=True))
        shapes.append(picture.shape(height, width))
    model = _in_float32(model, spec)
    if any(tuple(source.shape) != (None, *shape) for source, shape in zip(inputs_of(model), shapes, strict=True)):
        model = _fixed(model, shapes, spec)
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
    library: Any = keras
    if is_keras2(model):
        import tf_keras

        library = tf_keras
    sources = inputs_of(model)
    given: Any = [
        library.Input(shape, name=input_name(source), dtype=source.dtype)
        for source, shape in zip(sources, shapes, strict=True)
    ]
    if library is keras and not isinstance(model, keras.Sequential):
        given = keras.tree.pack_sequence_as(model._inputs_struct, given)
    try:
        copy = library.models.clone_model(model, input_tensors=given)
    except (ValueError, TypeError) as error:
        size = "x".join(map(str, shapes[0][:2]))
        raise ArgumentError(
            f"model {spec.backbone} cannot be built for images of {size}: {_first_line(error)}: set --input-size"
        ) from error
    return _with_weights_of(model, copy)


def _with_weights_of(model: Any, like: Any) -> Any:
    """Return `like`, which has layers of the same names, with the weights of `model`."""
    for layer in model.layers:
        weights = [
            np.asarray(weight, np.float32) if weight.dtype.kind not in "iub" else weight
            for weight in layer.get_weights()
        ]
        if weights:  # an input of a clone may have another name
            like.get_layer(layer.name).set_weights(weights)
    return like
