"""Load a backbone of KerasHub: a preset by name, the folder of a preset, or a class with its arguments."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.hub.configurations import Configuration, configuration_of
from edgefeat_export._models.hub_package import class_named, keras_hub, presets_like, shape_argument
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.graph import inputs_of
from edgefeat_export._models.saved.picture_inputs import picture_input
from edgefeat_export._spec import HUB, IMAGENET, RANDOM, NetworkSpec, weights_file

__all__ = ["Loaded", "load_hub"]

#: The size of images, if neither the user nor the preset says one.
_SIZE = 224


@dataclass(frozen=True, slots=True)
class Loaded:
    """A backbone of KerasHub; `converter` is its image converter, if there is one.

    `preprocessing` is a name as `--preprocess` takes it, or None if only the converter knows.
    """

    model: Any
    name: str
    converter: Any
    preprocessing: str | None


def load_hub(spec: NetworkSpec) -> Loaded:
    """Return the backbone after `hub:`, with its weights, in float32.

    Raises ArgumentError for a name or an argument that KerasHub does not know, and ExportError if the preset cannot be
    downloaded or read.
    """
    what = spec.backbone.removeprefix(HUB)
    if spec.alpha is not None:
        raise ArgumentError(f"backbone {spec.backbone} has no alpha: leave --alpha out")
    if spec.weights == IMAGENET:
        raise ArgumentError(
            f"weights {IMAGENET} do not exist for {spec.backbone} (allowed: {RANDOM}; for a class also a .weights.h5 "
            "file): leave --weights out for a preset's own"
        )
    _start(spec)
    if not os.path.isdir(what) and (made := class_named(what)) is not None:
        return _of_class(spec, made)
    known = configuration_of(what) if spec.weights == RANDOM and not os.path.isdir(what) else None
    return _of_configuration(spec, known, what) if known is not None else _of_preset(spec, what)


def _start(spec: NetworkSpec) -> None:
    """Let Keras number the layers that it names from the start, and draw the same random weights."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(spec.seed)


def _of_class(spec: NetworkSpec, made: Any) -> Loaded:
    if spec.weights is None:
        raise ArgumentError(
            f"{spec.backbone} is a class of KerasHub, without weights: name a preset instead "
            f"({_some_presets(made)}), or add --weights random or --weights FILE.weights.h5"
        )
    argument = shape_argument(made)
    arguments = {} if argument is None else {argument: [*(spec.size or (_SIZE, _SIZE)), 3]}
    model = _built(spec, made, arguments | _config(spec))
    if spec.weights == RANDOM:
        return Loaded(model, _snake(made.__name__), None, "tf")
    _load_weights(model, spec.weights)
    return Loaded(model, _snake(made.__name__), None, None)


def _of_configuration(spec: NetworkSpec, known: Configuration, preset: str) -> Loaded:
    """Return the network of a known preset with random weights, without downloading anything."""
    made = class_named(known.class_name)
    arguments = dict(known.arguments)
    if spec.size is not None and "image_shape" in arguments:
        arguments["image_shape"] = [*spec.size, 3]
    elif spec.size is not None and spec.size != (known.side, known.side):
        raise ArgumentError(f"backbone {spec.backbone} takes {known.side}x{known.side} images: leave --input-size out")
    model = _built(spec, made, arguments | _config(spec))
    return Loaded(model, preset, None, known.preprocessing)


def _of_preset(spec: NetworkSpec, preset: str) -> Loaded:
    hub = keras_hub()
    if spec.weights not in (None, RANDOM):
        raise ArgumentError(
            f"weights {spec.weights} cannot be loaded into preset {preset} (allowed: {RANDOM}): leave --weights out "
            "for its own"
        )
    arguments, converter = _config(spec), _converter(preset)
    load = hub.models.Backbone.from_preset
    try:
        # Without weights, to know whether images have a fixed size.
        empty = load(preset, load_weights=False, dtype="float32", **arguments)
        arguments |= _size(spec, empty, None if converter is None else converter.image_size)
        del empty
        _start(spec)
        model = load(preset, load_weights=spec.weights is None, dtype="float32", **arguments)
    except ArgumentError:
        raise
    except Exception as error:  # KerasHub, Keras and the download raise many types
        raise _no_preset(spec, preset, error) from error
    name = os.path.basename(os.path.normpath(preset)) if os.path.isdir(preset) else preset.rpartition("/")[2]
    return Loaded(model, name, converter, None)


def _size(spec: NetworkSpec, model: Any, own: Sequence[int] | None) -> dict[str, Any]:
    """Return the argument that gives the model images of the size asked for, or of `own` if it takes any; else none."""
    shapes = [tuple(source.shape)[1:3] for source in inputs_of(model) if picture_input(source) is not None]
    size = spec.size or ((own or (_SIZE, _SIZE)) if any(None in shape for shape in shapes) else None)
    if size is None or shapes == [tuple(size)]:
        return {}
    argument = shape_argument(type(model))
    if argument is None:
        has = " or ".join("x".join(map(str, shape)) for shape in shapes)
        raise ArgumentError(f"{spec.backbone} takes images of {has}, and no other size: leave --input-size out")
    return {argument: (*size, 3)}


def _converter(preset: str) -> Any:
    """Return the preset's image converter, or None if it has none."""
    try:
        return keras_hub().layers.ImageConverter.from_preset(preset)
    except Exception:  # noqa: BLE001  # KerasHub raises many types for a preset without one
        return None


def _built(spec: NetworkSpec, made: Any, arguments: Mapping[str, Any]) -> Any:
    """Return the class, called with the arguments. Raises ArgumentError if they do not fit."""
    parameters = inspect.signature(made.__init__).parameters
    unknown = sorted(set(arguments) - set(parameters) - {"name", "trainable", "dtype"})
    if unknown:
        allowed = ", ".join(name for name in parameters if name not in ("self", "kwargs"))
        raise ArgumentError(f"config {unknown[0]} is not an argument of {made.__name__} (allowed: {allowed})")
    missing = [
        name
        for name, one in parameters.items()
        if one.default is inspect.Parameter.empty
        and one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        and name not in ("self", *arguments)
    ]
    if missing:
        raise ArgumentError(
            f"{made.__name__} requires {', '.join(missing)}: add each with --config NAME=VALUE, or all with --config "
            "FILE.json"
        )
    try:
        return made.from_config({**arguments, "dtype": "float32"})
    except Exception as error:  # Keras raises many types for arguments that do not fit
        raise ArgumentError(f"backbone {spec.backbone} cannot be built: {first_line(error)}") from error


def _load_weights(model: Any, weights: str) -> None:
    path = weights_file(weights)
    if not path.name.lower().endswith(".weights.h5"):
        raise ArgumentError(
            f"weights {weights} cannot be loaded into a class of KerasHub (allowed: {RANDOM}, or a .weights.h5 file)"
        )
    try:
        model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many types
        raise ArgumentError(f"weights {weights} do not fit {type(model).__name__}: {first_line(error)}") from error


def _config(spec: NetworkSpec) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in spec.config.items()}


def _some_presets(made: Any) -> str:
    names = [f"hub:{name}" for name in list(made.presets)[:3]]
    return ", ".join(names) or "none is published"


def _no_preset(spec: NetworkSpec, preset: str, error: Exception) -> Exception:
    """Return the error for a preset that KerasHub does not load."""
    why = first_line(error)
    if os.path.isdir(preset):
        return ExportError(f"preset {preset} cannot be loaded by KerasHub: {why}")
    hub = keras_hub()
    if preset not in hub.models.Backbone.presets and "://" not in preset:
        return ArgumentError(
            f"backbone {spec.backbone} is neither a preset, a folder nor a class of KerasHub ({presets_like(preset)})"
        )
    return ExportError(
        f"preset {preset} cannot be downloaded or read: {why}. Run once with a network connection; or pass the folder "
        f"that save_to_preset wrote on another machine, hub:FOLDER; or test with --weights random and a class, "
        f"hub:ViTBackbone --config FILE.json"
    )


def _snake(name: str) -> str:
    """Return `ViTBackbone` as `vit`, `SwinTransformerBackbone` as `swintransformer`."""
    return name.removesuffix("Backbone").lower()
