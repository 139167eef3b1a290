"""Walk the JSON description of a file's layers, and find those that name code instead of layers of Keras."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import keras

from edgefeat import ExportError
from edgefeat_export._models.saved.code.allowlist import FORBIDDEN_LAYERS, FUNCTIONS, OPERATIONS, PARTS
from edgefeat_export._models.saved.code.placeholder import PREFIX
from edgefeat_export._models.saved.recognition import SavedModel

__all__ = [
    "MODELS",
    "REMEDY",
    "check_keras2",
    "is_foreign",
    "named",
    "refused_by_keras2",
    "refused_by_keras3",
    "saved_layers",
    "subclassed",
]

#: Classes of models that consist only of layers.
MODELS = ("Functional", "Model", "Sequential")

_NOT_RUN = "whose code is not run"
REMEDY = ": replace it with a Keras layer, or save the model cut before it"

_MODULE = r"(?:tf_)?keras(?:\.[a-z0-9_]+)*"
#: Classes in a config that are not layers: Keras 2's form of a tuple, the dots in `x[..., 0]`, a shape, a type and an
#: array of numbers.
_VALUES = ("__tuple__", "__ellipsis__", "__numpy__", "__tensor__", "TensorShape")


def saved_layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the layers in the config of a model or of a wrapper layer, in order, each before its inner layers."""
    inside = config.get("config")
    if isinstance(inside, list):  # a Sequential of Keras before 2.3
        inside = {"layers": inside}
    if not isinstance(inside, dict):
        return
    layers = inside.get("layers")
    within = [inside.get(key) for key in ("layer", "cell", "forward_layer", "backward_layer")]
    for layer in [*(layers if isinstance(layers, list) else ()), *within]:
        if isinstance(layer, dict) and isinstance(layer.get("class_name"), str):
            yield layer
            yield from saved_layers(layer)


def check_keras2(saved: SavedModel) -> None:
    """Raise ExportError, naming the layer, if the model contains anything but layers and arithmetic of Keras 2.

    tf-keras looks up every name in a config, also in modules that it imports for that, and in all of TensorFlow; so
    every name is checked here first. The training configuration is ignored.
    """
    config = saved.config
    if config.get("class_name") not in MODELS:
        raise ExportError(f"model {saved.path} {subclassed(config, saved.path.name)}")
    for layer in saved_layers(config):
        why = _refusal(layer)
        if why is not None:
            raise ExportError(f"model {saved.path} contains {why}{REMEDY}")
    for entry in _classes(config.get("config")):
        if not _is_known(entry):
            raise ExportError(f"model {saved.path} {_unknown(entry)}{REMEDY}")


def refused_by_keras2(layer: dict[str, Any]) -> str | None:
    """Return why a layer of Keras 2 is not loaded: it, or something in it, is not part of Keras. None if it is."""
    for one in (layer, *saved_layers(layer)):
        why = _refusal(one)
        if why is not None:
            return f"contains {why}"
    return next((_unknown(entry) for entry in _classes(layer.get("config")) if not _is_known(entry)), None)


def refused_by_keras3(layer: dict[str, Any]) -> str | None:
    """Return why a layer of Keras 3 is not loaded: it, or a layer in it, is not part of Keras. None if it is."""
    foreign = next((one for one in (layer, *saved_layers(layer)) if is_foreign(one)), None)
    if foreign is None:
        return None
    kind = foreign["class_name"]
    return (
        f"contains a {'Lambda' if kind == 'Lambda' else 'custom'} layer {named(foreign)!r} (class {kind}), {_NOT_RUN}"
    )


def subclassed(config: dict[str, Any], file_name: str) -> str:
    """Return that a model is not made of layers, so that its code would have to be run."""
    return (
        f"is a subclassed model {named(config) or file_name!r} (class {config.get('class_name')}), {_NOT_RUN}: "
        "save a functional or sequential model of Keras layers"
    )


def _unknown(entry: dict[str, Any]) -> str:
    return f"names {entry.get('module') or ''} {entry.get('class_name')!r}, which is not part of Keras, {_NOT_RUN}"


def is_foreign(layer: dict[str, Any]) -> bool:
    """Return whether a layer, or a model, is code instead of a part of Keras 3."""
    kind, module, registered = layer["class_name"], layer.get("module"), layer.get("registered_name")
    if kind == "Lambda":
        return True
    if keras.saving.get_registered_object(registered if registered and isinstance(registered, str) else kind):
        return False
    if module is None and registered:
        return True
    if module in (None, "keras.layers"):  # older files name no module
        return kind not in MODELS and not hasattr(keras.layers, kind)
    return module != "keras" and not str(module).startswith("keras.")


def _refusal(layer: dict[str, Any]) -> str | None:
    """Return why this layer is not loaded, without the layers and functions in it; None if it is."""
    kind, name = layer["class_name"], named(layer)
    if kind in MODELS:
        return None
    if kind == "Lambda":
        return f"a Lambda layer {name!r} (class Lambda), {_NOT_RUN}"
    own = layer.get("config")
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        function = own.get("function") if isinstance(own, dict) else None
        if function in FUNCTIONS:
            return None
        return f"a layer {name!r} that calls tf.{function} (allowed: arithmetic and changes of shape), {_NOT_RUN}"
    if kind == "TensorFlowOpLayer":
        operation = _operation(own)
        if operation in OPERATIONS:
            return None
        return f"a layer {name!r} that calls {operation} (allowed: arithmetic and changes of shape), {_NOT_RUN}"
    if kind in FORBIDDEN_LAYERS:
        return f"a layer {name!r} of class {kind}, which requires more than the image, {_NOT_RUN}"
    if not _is_known(layer):
        return f"a custom layer {name!r} (class {kind}), {_NOT_RUN}"
    return None


def _operation(config: Any) -> str | None:
    """Return the operation of a TensorFlowOpLayer, whose node is JSON or serialized; None if it is neither."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    node = config.get("node_def") if isinstance(config, dict) else None
    if isinstance(node, dict):
        return str(node.get("op"))
    try:
        return str(NodeDef.FromString(str(node).encode()).op)
    except DecodeError:
        return None


def named(layer: dict[str, Any]) -> str | None:
    own = layer.get("config")
    return (own.get("name") if isinstance(own, dict) else None) or layer.get("name")


def _classes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every entry, at any depth, that names a class or a module."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _classes(item)
    elif isinstance(value, dict):
        if "class_name" in value or "module" in value:
            yield value
        for item in value.values():
            yield from _classes(item)


def _is_known(entry: dict[str, Any]) -> bool:
    """Return whether a class or function that a config names belongs to Keras."""
    import tf_keras

    kind, module = entry.get("class_name"), entry.get("module")
    if not isinstance(kind, str):
        return False
    if kind.startswith(PREFIX):
        return True
    if kind == "function":  # an activation
        return module in ("builtins", None) and hasattr(tf_keras.activations, str(entry.get("config")))
    if module is not None and re.fullmatch(_MODULE, str(module)) is None:
        return False
    if kind in (*MODELS, *_VALUES, "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "Policy"):
        return True
    if kind in FORBIDDEN_LAYERS:
        return False
    return any(isinstance(getattr(getattr(tf_keras, part), kind, None), type) for part in PARTS) or any(
        callable(getattr(getattr(tf_keras, part), kind, None)) for part in ("initializers", "regularizers")
    )
