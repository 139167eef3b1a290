"""Load the weights of a file into a network: arrays are matched by name or position, and by shape.

Files are never unpickled, and nothing they describe is built: only numbers are read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError, safe_open

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.architectures import Entry, StateDict
from edgefeat_export._models.normalization import finalize, square_deviations
from edgefeat_export._models.saved.recognition import POINTER_REMEDY, is_pointer
from edgefeat_export._models.weight_files.checkpoint import checkpoint_layers
from edgefeat_export._models.weight_files.hdf5 import SavedLayer, SavedLayers, saved_layers
from edgefeat_export._models.weight_files.inner_model import of_inner_model
from edgefeat_export._spec import checkpoint_of, weights_file

__all__ = ["copy_weights", "load_weights"]

_DTYPES = ("F64", "F32", "F16")
_MOST_TOLD = 6

Shapes = tuple[tuple[int, ...], ...]


def load_weights(model: keras.Model, file: str, state_dict: StateDict | None) -> None:
    """Load the weights of `file` into `model`: `.h5`, `.weights.h5`, `.keras`, a TensorFlow checkpoint, or, with a
    `state_dict`, `.safetensors`.

    Layers of the file that follow the network, a classifier, are ignored. The network may also be one layer of the
    file's, as in transfer learning. Raises ArgumentError if the file is of
    another network, naming the first layer that differs, and ExportError if it is damaged or not of the kind it claims.
    """
    path = weights_file(file)
    if path.is_file() and is_pointer(path):
        raise ExportError(f"weights {file} are a {POINTER_REMEDY}")
    try:
        if checkpoint_of(file) is not None:
            _load_layers(model, checkpoint_layers(path))
        elif path.suffix.lower() == ".safetensors":
            _load_state_dict(model, path, state_dict)
        else:
            with saved_layers(path) as saved:
                _load_layers(model, saved)
    except _MismatchError as error:
        raise ArgumentError(f"weights {file} do not fit {model.name}: {error}") from error
    except ArgumentError:
        raise
    except ExportError as error:
        raise ExportError(f"weights {file} cannot be read: {error}") from error
    except OSError as error:
        raise ExportError(f"weights {file} cannot be read: {error.strerror or error}") from error


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy weights from `source` to the layers of `target` with the same names."""
    layers = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        layer.set_weights(layers[layer.name].get_weights())
    square_deviations(target)
    finalize(target)


class _MismatchError(Exception):
    """The first difference between the file and the network, as a message for the user."""


def _load_layers(model: keras.Model, saved: SavedLayers) -> None:
    try:
        pairs = _pairs(model, saved)
    except _MismatchError as mismatch:
        inner = of_inner_model(saved)
        if inner is None:
            raise
        try:
            pairs = _pairs(model, inner)
        except _MismatchError:
            raise mismatch from None
    for layer, of_file in pairs:
        for variable, array in zip(_variables(layer), of_file.arrays, strict=True):
            variable.assign(array.read().astype(variable.dtype))
    square_deviations(model)
    finalize(model)


def _pairs(model: keras.Model, saved: SavedLayers) -> list[tuple[keras.Layer, SavedLayer]]:
    """Return each layer that has weights with the file's. Raises _MismatchError if they are of other shapes."""
    layers = [layer for layer in model.layers if layer.weights]
    pairs = _by_class(model, saved.layers) if saved.by_class else _by_name(layers, saved) or _by_order(layers, saved)
    for layer, of_file in pairs:
        if _shapes(layer) != _saved_shapes(of_file):
            raise _MismatchError(
                f"the network's layer {layer.name!r} has {_told(_shapes(layer))}, "
                f"the file's {of_file.name!r} {_told(_saved_shapes(of_file))}"
            )
    return pairs


def _by_name(layers: Sequence[keras.Layer], saved: SavedLayers) -> list[tuple[keras.Layer, SavedLayer]]:
    """Return each layer with the file's layer of the same name; empty if the file lacks a name."""
    places = {layer.name: place for place, layer in enumerate(saved.layers)}
    if not all(layer.name in places for layer in layers):
        return []
    taken = sorted(places[layer.name] for layer in layers)
    for layer, place, expected in zip(layers, taken, range(len(layers)), strict=True):
        if place != expected:  # VGG19's file has every name and shape of VGG16
            other = saved.layers[expected]
            raise _MismatchError(
                f"the next layer in the file is {other.name!r}, {_told(_saved_shapes(other))}, "
                f"but the network has {layer.name!r}, {_told(_shapes(layer))}"
            )
    return [(layer, saved.layers[places[layer.name]]) for layer in layers]


def _by_order(layers: Sequence[keras.Layer], saved: SavedLayers) -> list[tuple[keras.Layer, SavedLayer]]:
    """Return each layer with the file's layer at its position.

    Names cannot be compared here: Keras numbers unnamed layers across all models of a program.
    """
    pairs = list(zip(layers, saved.layers, strict=False))
    if len(pairs) < len(layers) and all(_shapes(layer) == _saved_shapes(of_file) for layer, of_file in pairs):
        missing = layers[len(pairs)]
        raise _MismatchError(f"the file ends before the network's layer {missing.name!r}, {_told(_shapes(missing))}")
    return pairs


def _by_class(model: keras.Model, saved: Sequence[SavedLayer]) -> list[tuple[keras.Layer, SavedLayer]]:
    """Return each layer with the file's layer of its class and number: `conv2d_3` is the fourth Conv2D."""
    of_file = {layer.name: layer for layer in saved}
    pairs = []
    for name, layer in _class_names(model, ""):
        if name not in of_file:
            raise _MismatchError(
                f"the file has no {name!r} for the network's layer {layer.name!r}, {_told(_shapes(layer))}"
            )
        pairs.append((layer, of_file[name]))
    return pairs


def _class_names(model: keras.Model, prefix: str) -> Iterator[tuple[str, keras.Layer]]:
    """Yield the layers that have weights, named by class and number; layers of inner models by path."""
    counts: Counter[str] = Counter()
    for layer in model.layers:
        kind = _snake_case(type(layer).__name__)
        name = f"{prefix}{kind}_{counts[kind]}" if counts[kind] else prefix + kind
        counts[kind] += 1
        if isinstance(layer, keras.Model):
            yield from _class_names(layer, f"{name}/")
        elif layer.weights:
            yield name, layer


def _snake_case(name: str) -> str:
    """Return a class name as Keras writes it in a file: `BatchNormalization` becomes `batch_normalization`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _variables(layer: keras.Layer) -> list[Any]:
    """Return the layer's weights in the order that every kind of file has."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _shapes(layer: keras.Layer) -> Shapes:
    return tuple(tuple(variable.shape) for variable in _variables(layer))


def _saved_shapes(layer: SavedLayer) -> Shapes:
    return tuple(array.shape for array in layer.arrays)


def _told(shapes: Shapes) -> str:
    told = ", ".join(map(str, shapes[:_MOST_TOLD])) or "no weights"
    return told if len(shapes) <= _MOST_TOLD else f"{told} and {len(shapes) - _MOST_TOLD} more arrays"


def _load_state_dict(model: keras.Model, path: Path, state_dict: StateDict | None) -> None:
    if state_dict is None:
        raise ArgumentError(
            f"weights {path} are a torch state dict, which {model.name} does not support "
            "(allowed: .h5, .weights.h5 or .keras; .safetensors for alexnet and googlenet)"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            entries = list(state_dict.entries(model))
            names = file.keys()
            _check_names(model, entries, state_dict, {name: file.get_slice(name) for name in names})
            for entry in entries:
                array = file.get_tensor(entry.name)
                if not np.isfinite(array).all():
                    raise ExportError(f"{entry.name!r} contains values that are not finite")
                entry.variable.assign(entry.arranged(array))
    except SafetensorError as error:
        raise ExportError(f"it is not a valid safetensors file: {error}") from error


def _check_names(
    model: keras.Model, entries: Sequence[Entry], state_dict: StateDict, slices: Mapping[str, Any]
) -> None:
    """Raise an error unless the file has every array the network requires, in its shape, and no unknown arrays."""
    for entry in entries:
        if entry.name not in slices:
            raise _MismatchError(f"the file has no {entry.name!r} of shape {entry.shape}")
        shape = tuple(slices[entry.name].get_shape())
        if shape != entry.shape:
            raise _MismatchError(f"the network's {entry.name!r} has {entry.shape}, the file's {shape}")
        if slices[entry.name].get_dtype() not in _DTYPES:
            raise ExportError(f"{entry.name!r} is {slices[entry.name].get_dtype()} (allowed: {', '.join(_DTYPES)})")
    needed = {entry.name for entry in entries}
    for name, values in slices.items():
        if name not in needed and not state_dict.ignores(name, model):
            raise _MismatchError(
                f"the file has {name!r}, {tuple(values.get_shape())}, but the network has no such array"
            )
