"""Puts the weights of a file into a network: every array is compared by name or place and by shape before it is read.

Never unpickles, never builds what a file describes: whatever the file, only numbers come out of it.
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
from edgefeat_export._models.hdf5 import SavedLayer, SavedLayers, saved_layers
from edgefeat_export._spec import weights_file

__all__ = ["copy_weights", "load_weights"]

_DTYPES = ("F64", "F32", "F16")

Shapes = tuple[tuple[int, ...], ...]


def load_weights(model: keras.Model, file: str, state_dict: StateDict | None) -> None:
    """Gives `model` the weights of `file`: `.h5`, `.weights.h5`, `.keras`, or `.safetensors` where it has a state dict.

    What comes behind the network in the file, a classifier, is left out. Raises ArgumentError where the file is of
    another network, naming the first layer that differs, and ExportError where it is broken or not what it claims.
    """
    path = weights_file(file)
    try:
        if path.suffix.lower() == ".safetensors":
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
    """Gives the layers of `target` the weights that those of the same names in `source` have."""
    layers = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        layer.set_weights(layers[layer.name].get_weights())


class _MismatchError(Exception):
    """Where the file and the network part, for people."""


def _load_layers(model: keras.Model, saved: SavedLayers) -> None:
    layers = [layer for layer in model.layers if layer.weights]
    pairs = _by_class(model, saved.layers) if saved.by_class else _by_name(layers, saved) or _by_order(layers, saved)
    for layer, of_file in pairs:
        if _shapes(layer) != _saved_shapes(of_file):
            raise _MismatchError(
                f"its layer {layer.name!r} has {_told(_shapes(layer))}, "
                f"the file's {of_file.name!r} {_told(_saved_shapes(of_file))}"
            )
    for layer, of_file in pairs:
        for variable, array in zip(_variables(layer), of_file.arrays, strict=True):
            variable.assign(array.read().astype(variable.dtype))
        if hasattr(layer, "finalize_state"):  # Normalization keeps values made of its weights
            layer.finalize_state()


def _by_name(layers: Sequence[keras.Layer], saved: SavedLayers) -> list[tuple[keras.Layer, SavedLayer]]:
    """Each layer with the file's of its name; empty where the file lacks a name."""
    places = {layer.name: place for place, layer in enumerate(saved.layers)}
    if not all(layer.name in places for layer in layers):
        return []
    taken = sorted(places[layer.name] for layer in layers)
    for layer, place, expected in zip(layers, taken, range(len(layers)), strict=True):
        if place != expected:  # VGG19's file has every name of VGG16, and every shape
            other = saved.layers[expected]
            raise _MismatchError(
                f"the file goes on with {other.name!r}, {_told(_saved_shapes(other))}, "
                f"where the network has {layer.name!r}, {_told(_shapes(layer))}"
            )
    return [(layer, saved.layers[places[layer.name]]) for layer in layers]


def _by_order(layers: Sequence[keras.Layer], saved: SavedLayers) -> list[tuple[keras.Layer, SavedLayer]]:
    """Each layer with the file's at its place: Keras numbers layers without names through all models of a program."""
    pairs = list(zip(layers, saved.layers, strict=False))
    if len(pairs) < len(layers) and all(_shapes(layer) == _saved_shapes(of_file) for layer, of_file in pairs):
        missing = layers[len(pairs)]
        raise _MismatchError(f"the file ends before its layer {missing.name!r}, {_told(_shapes(missing))}")
    return pairs


def _by_class(model: keras.Model, saved: Sequence[SavedLayer]) -> list[tuple[keras.Layer, SavedLayer]]:
    """Each layer with the file's of its class and number: `conv2d_3` is the fourth Conv2D."""
    of_file = {layer.name: layer for layer in saved}
    pairs = []
    for name, layer in _class_names(model, ""):
        if name not in of_file:
            raise _MismatchError(f"the file has no {name!r} for its layer {layer.name!r}, {_told(_shapes(layer))}")
        pairs.append((layer, of_file[name]))
    return pairs


def _class_names(model: keras.Model, prefix: str) -> Iterator[tuple[str, keras.Layer]]:
    """The layers that have weights, those of inner models by path."""
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
    """As Keras names a class in a file: `BatchNormalization` is `batch_normalization`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _variables(layer: keras.Layer) -> list[Any]:
    """The layer's weights in the order of every kind of file."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _shapes(layer: keras.Layer) -> Shapes:
    return tuple(tuple(variable.shape) for variable in _variables(layer))


def _saved_shapes(layer: SavedLayer) -> Shapes:
    return tuple(array.shape for array in layer.arrays)


def _told(shapes: Shapes) -> str:
    return ", ".join(map(str, shapes)) or "no weights"


def _load_state_dict(model: keras.Model, path: Path, state_dict: StateDict | None) -> None:
    if state_dict is None:
        raise ArgumentError(
            f"weights {path} are a state dict of torch, which {model.name} has none of "
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
                    raise ExportError(f"{entry.name!r} holds values that are not finite")
                entry.variable.assign(entry.arranged(array))
    except SafetensorError as error:
        raise ExportError(f"it is not a whole safetensors file: {error}") from error


def _check_names(
    model: keras.Model, entries: Sequence[Entry], state_dict: StateDict, slices: Mapping[str, Any]
) -> None:
    """That every array the network needs is there in its shape, and no other but those known to be left over."""
    for entry in entries:
        if entry.name not in slices:
            raise _MismatchError(f"the file has no {entry.name!r}, {entry.shape}")
        shape = tuple(slices[entry.name].get_shape())
        if shape != entry.shape:
            raise _MismatchError(f"its {entry.name!r} has {entry.shape}, the file's {shape}")
        if slices[entry.name].get_dtype() not in _DTYPES:
            raise ExportError(f"{entry.name!r} is {slices[entry.name].get_dtype()} (allowed: {', '.join(_DTYPES)})")
    needed = {entry.name for entry in entries}
    for name, values in slices.items():
        if name not in needed and not state_dict.ignores(name, model):
            raise _MismatchError(f"the file has {name!r}, {tuple(values.get_shape())}, the network has no such array")
