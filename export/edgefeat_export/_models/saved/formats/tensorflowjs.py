"""Read the weights of a TensorFlow.js layers model: files of numbers, which its `model.json` lists."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat_export._models.saved.recognition import SavedModel

__all__ = ["assign_weights"]

_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1", "bool": "?"}


def assign_weights(model: Any, saved: SavedModel) -> None:
    """Give the layers of `model`, of Keras 3 or tf-keras, the weights that `saved.path` lists.

    Arrays are matched by the names of layer and weight. Those of layers that the model does not have are ignored.
    Raises ExportError if a layer's weights are not there, or the files are damaged or incomplete.
    """
    try:
        values = _values(model, _by_name(saved.path))
    except _MismatchError as error:
        raise ExportError(f"model {saved.path} cannot be loaded: {error}") from error
    for variable, value in zip(model.weights, values, strict=True):
        if value is not None:
            variable.assign(value.astype(_dtype(variable)))
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):  # Normalization computes with a copy
            layer.finalize_state()


class _MismatchError(Exception):
    """What keeps the weights from being those of the layers, as a message for the user."""


def _values(model: Any, arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any] | None]:
    """Return the value of each weight of the model; None for a counter that is not listed."""
    values: list[NDArray[Any] | None] = []
    taken: set[str] = set()
    for variable in model.weights:
        path = _uncounted(getattr(variable, "path", variable.name).partition(":")[0])
        name = _found(arrays, path)
        if name is None:
            if _is_float(variable):
                raise _MismatchError(f"it lists no weights for {path!r}")
            values.append(None)
            continue
        if name in taken:
            raise _MismatchError(f"two layers have the weights {name!r}: rename one")
        taken.add(name)
        value = arrays[name]
        if value.shape != tuple(variable.shape):
            raise _MismatchError(f"the weights {name!r} have {value.shape}, their layer has {tuple(variable.shape)}")
        if _is_float(variable) and not (value.dtype.kind == "f" and np.isfinite(value).all()):
            raise _MismatchError(f"the weights {name!r} contain values that are not finite numbers")
        values.append(value)
    return values


def _by_name(path: Path) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name, array in _arrays(path):
        if arrays.setdefault(_uncounted(name), array) is not array:
            raise _MismatchError(f"it lists the weights {name!r} twice")
    return arrays


def _is_float(variable: Any) -> bool:
    return "float" in _dtype(variable)


def _dtype(variable: Any) -> str:
    """Return the name of a variable's type, which is text in Keras 3."""
    return str(getattr(variable.dtype, "name", variable.dtype))


def _uncounted(name: str) -> str:
    """Return a weight's name without the number of a recurrent cell, which counts the cells of a program."""
    return re.sub(r"_cell_\d+(?=/)", "_cell", name)


def _found(names: Collection[str], path: str) -> str | None:
    """Return the name of a variable's array; either name may have those of the models around it in front."""
    parts = path.split("/")
    known = ("/".join(parts[start:]) for start in range(len(parts) - 1))
    exact = next((name for name in known if name in names), None)
    near = [name for name in names if name.endswith("/" + "/".join(parts[-2:]))]
    return exact if exact is not None else near[0] if len(near) == 1 else None


def _arrays(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each array with its name. Raises ExportError if the list or a file is damaged."""
    try:
        groups = json.loads(path.read_bytes())["weightsManifest"]
        for group in groups:
            entries = [(str(entry["name"]), _Layout(entry)) for entry in group["weights"]]
            if not isinstance(group["paths"], list):
                raise TypeError(group["paths"])
            data = b"".join(_file(path, name) for name in group["paths"])
            needed = sum(layout.size for _, layout in entries)
            if len(data) != needed:
                raise ExportError(
                    f"model {path} is incomplete: its files of weights have {len(data)} bytes instead of {needed}: "
                    "copy the whole folder"
                )
            start = 0
            for name, layout in entries:
                yield name, layout.read(data, start)
                start += layout.size
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise ExportError(f"model {path} cannot be loaded: the list of its weights is damaged") from error


class _Layout:
    """How an entry of the list stores its array: its shape, and 8 or 16 bits for each number if it is quantized."""

    def __init__(self, entry: dict[str, Any]) -> None:
        quantization = entry.get("quantization") or {}
        self._stored = np.dtype(_DTYPES[quantization.get("dtype", entry["dtype"])])
        self._scale = quantization.get("scale")  # None for float16
        self._least = float(quantization.get("min", 0.0))
        self._shape = tuple(entry["shape"])
        if not all(type(side) is int and side >= 0 for side in self._shape):
            raise ValueError(self._shape)
        self.size = math.prod(self._shape) * self._stored.itemsize

    def read(self, data: bytes, start: int) -> NDArray[Any]:
        array = np.frombuffer(data, self._stored, math.prod(self._shape), start).reshape(self._shape)
        if self._scale is None:
            return array
        return array.astype(np.float32) * np.float32(self._scale) + np.float32(self._least)


def _file(model: Path, name: str) -> bytes:
    """Return the bytes of a file beside the model. Raises ExportError if it lies elsewhere or is missing."""
    folder, inside = model.parent.resolve(), PurePosixPath(name)
    path = folder / inside
    if inside.is_absolute() or path.resolve() != path:
        raise ExportError(f"model {model} takes its weights from {name!r} (allowed: files in its own folder)")
    if not path.is_file():
        raise ExportError(f"model {model} is incomplete: {name}, with its weights, is missing: copy the whole folder")
    return path.read_bytes()
