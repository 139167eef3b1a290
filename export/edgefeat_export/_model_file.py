"""A whole Keras model from a file: functional, sequential, or made of other models."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from edgefeat import ArgumentError, ExportError
from edgefeat_export._spec import MODEL_SUFFIXES, NetworkSpec, is_model_file

__all__ = ["MODEL_SUFFIXES", "is_model_file", "load_model", "model_name"]

_LONGEST_CONFIG = 2**26  # bytes of JSON
_FLOATS = {"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"}
_REMEDY = "whose code is not run: replace it by a Keras layer, or save the model cut before it"


def model_name(path: str) -> str:
    """The name of a saved model: that of its file, without the suffix by which it is known."""
    name = Path(path).name
    suffix = next((suffix for suffix in MODEL_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or name


def load_model(spec: NetworkSpec) -> keras.Model:
    """The model saved at `spec.backbone`, with a fixed input size and in float32. Nothing in the file is executed.

    Raises ArgumentError where the model does not take one picture, or not of that size, or is quantized, and
    ExportError where the file cannot be read or holds code (a Lambda layer, a custom class).
    """
    path = Path(spec.backbone)
    if not path.is_file():
        raise ArgumentError(f"model {spec.backbone!r} does not exist (expected: a file that Keras saved)")
    if spec.alpha is not None:
        raise ArgumentError("alpha is for backbones known by name: a saved model has its width, leave --alpha out")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a file that it cannot or must not load
        why = _foreign(path) or f"cannot be loaded by Keras {keras.__version__}: {_first_line(error)}"
        raise ExportError(f"model {path} {why}") from error
    return _sized(model, spec)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "safe_mode" in str(error) or "unsafe_deserialization" in str(error):  # that is how to run it all the same
        return "it holds Python code, which is not run"
    return lines[0] if lines else type(error).__name__


def _foreign(path: Path) -> str | None:
    """What is said of the first layer that is code rather than a layer of Keras; None if there is none to be found."""
    try:
        config = _config(path)
        if _is_foreign(config):
            name = config.get("config", {}).get("name") or model_name(path.name)
            return (
                f"is a subclassed model {name!r} (class {config['class_name']}), whose code is not run: "
                "save a functional or sequential model of Keras layers"
            )
        layer = next((layer for layer in _saved_layers(config) if _is_foreign(layer)), None)
        if layer is None:
            return None
        kind = layer["class_name"]
        name = layer.get("config", {}).get("name") or layer.get("name")
        return f"holds a {'Lambda' if kind == 'Lambda' else 'custom'} layer {name!r} (class {kind}), {_REMEDY}"
    except Exception:  # noqa: BLE001  # it only explains why a file that may be anything was not loaded
        return None


def _config(path: Path) -> dict[str, Any]:
    """The JSON that a file has of its model."""
    data: Any
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as stream:
            data = stream.read(_LONGEST_CONFIG + 1)
    else:
        with h5py.File(path, "r") as file:
            data = file.attrs["model_config"]
    if len(data) > _LONGEST_CONFIG:
        raise ValueError("config too long")
    config: dict[str, Any] = json.loads(data)
    return config


def _saved_layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers in the config of a model or of a layer around others, in order, each before those inside it."""
    inside = config.get("config")
    if isinstance(inside, list):  # a Sequential of Keras before 2.3
        inside = {"layers": inside}
    if not isinstance(inside, dict):
        return
    within = [inside.get(key) for key in ("layer", "cell", "forward_layer", "backward_layer")]
    for layer in [*inside.get("layers", ()), *within]:
        if isinstance(layer, dict) and "class_name" in layer:
            yield layer
            yield from _saved_layers(layer)


def _is_foreign(layer: dict[str, Any]) -> bool:
    kind, module = layer["class_name"], layer.get("module")
    if kind == "Lambda":
        return True
    if keras.saving.get_registered_object(layer.get("registered_name") or kind) is not None:
        return False
    if module is None and layer.get("registered_name"):
        return True
    if module in (None, "keras.layers"):  # older files name no module
        return kind not in ("Functional", "Model", "Sequential") and not hasattr(keras.layers, kind)
    return module != "keras" and not module.startswith("keras.")


def _sized(model: Any, spec: NetworkSpec) -> keras.Model:
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ArgumentError(
            f"model {spec.backbone} has no defined input (allowed: a built functional or sequential model)"
        )
    if len(model.inputs) != 1:
        names = ", ".join(source.name for source in model.inputs)
        raise ArgumentError(f"model {spec.backbone} has {len(model.inputs)} inputs, {names} (allowed: one picture)")
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] not in (3, None):
        raise ArgumentError(
            f"model {spec.backbone} takes {shape} by its input {model.inputs[0].name!r} "
            "(allowed: pictures, (None, height, width, 3))"
        )
    wanted = spec.size or tuple(side or 224 for side in shape[1:3])
    if any(own is not None and own != side for own, side in zip(shape[1:3], wanted, strict=True)):
        raise ArgumentError(f"model {spec.backbone} takes {shape[1]}x{shape[2]} pictures, not {wanted[0]}x{wanted[1]}")
    model = _in_float32(model, spec)
    return model if None not in shape[1:] else _fixed(model, wanted)


def _in_float32(model: keras.Model, spec: NetworkSpec) -> keras.Model:
    """The same layers and weights, all of them in float32."""
    policies = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    for layer, policy in policies:
        if policy.quantization_mode is not None:
            raise ArgumentError(
                f"model {spec.backbone} is quantized already: layer {layer.name!r} has policy {policy.name} "
                "(allowed: float32, float16 and mixed policies): save the model before it is quantized"
            )
    if not any(policy.name in _FLOATS for _, policy in policies):
        return model
    return _with_weights_of(model, type(model).from_config(_float32(model.get_config())))


def _float32(config: Any) -> Any:
    """A layer's config with float32 for every other policy of real numbers."""
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


def _fixed(model: keras.Model, size: tuple[int, ...]) -> keras.Model:
    """The same layers and weights, on an input of a fixed size."""
    picture = [keras.Input((*size, 3), name=model.inputs[0].name)]
    if not isinstance(model, keras.Sequential):
        picture = keras.tree.pack_sequence_as(model._inputs_struct, picture)
    return _with_weights_of(model, keras.models.clone_model(model, input_tensors=picture))


def _with_weights_of(model: keras.Model, like: keras.Model) -> keras.Model:
    """`like`, which has layers of the same names, with the weights of `model`."""
    for layer in model.layers:
        weights = [
            np.asarray(weight, np.float32) if weight.dtype.kind not in "iub" else weight
            for weight in layer.get_weights()
        ]
        like.get_layer(layer.name).set_weights(weights)
    return like
