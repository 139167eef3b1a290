"""Puts the weights of a file into a network: every array is compared by name or place and by shape before it is read.

Never unpickles, never builds what a file describes: whatever the file, only numbers come out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError, safe_open

from edgefeat import ArgumentError, ExportError
from edgefeat_export._hdf5 import SavedLayer, SavedLayers, saved_layers
from edgefeat_export._nets import StateDict
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
    names = _class_names(model) if saved.by_class else {layer.name: layer.name for layer in layers}
    for layer, of_file in _paired(layers, names, saved):
        variables = _variables(layer)
        if _shapes(layer) != _saved_shapes(of_file):
            raise _MismatchError(
                f"its layer {layer.name!r} has {_told(_shapes(layer))}, "
                f"{of_file.name!r} of the file {_told(_saved_shapes(of_file))}"
            )
        for variable, array in zip(variables, of_file.arrays, strict=True):
            variable.assign(array.read().astype(variable.dtype))
        if hasattr(layer, "finalize_state"):  # Normalization keeps values made of its weights
            layer.finalize_state()


def _paired(
    layers: Sequence[keras.Layer], names: dict[str, str], saved: SavedLayers
) -> list[tuple[keras.Layer, SavedLayer]]:
    """Each layer with its like in the file: by name where the file has all the names, else by order."""
    by_name = {layer.name: layer for layer in saved.layers}
    wanted = [names[layer.name] for layer in layers]
    if not saved.by_class and not set(wanted) <= set(by_name):
        _check_length(layers, saved.layers)
        return list(zip(layers, saved.layers, strict=False))  # what is left over is behind the network
    for layer, name in zip(layers, wanted, strict=True):
        if name not in by_name:
            raise _MismatchError(f"the file has no layer {name!r}, which is {layer.name!r}, {_told(_shapes(layer))}")
    if not saved.by_class:
        _check_rest(layers, saved.layers)
    return [(layer, by_name[name]) for layer, name in zip(layers, wanted, strict=True)]
