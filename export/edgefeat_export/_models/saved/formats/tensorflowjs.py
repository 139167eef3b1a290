"""Give the layers of a TensorFlow.js layers model the weights that its `model.json` lists."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat_export._models.normalization import finalize
from edgefeat_export._models.saved.formats.tensorflowjs_files import listed_arrays
from edgefeat_export._models.saved.recognition import SavedModel

__all__ = ["assign_weights"]


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
    finalize(model)


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
    for name, array in listed_arrays(path):
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
