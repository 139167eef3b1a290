"""Read the arrays that a `model.json` of TensorFlow.js lists, from the files of numbers beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat_export._models.saved.recognition import POINTER_REMEDY, is_pointer

__all__ = ["listed_arrays"]

_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1", "bool": "?"}
#: Types of TensorFlow.js that no layer computes features with.
_FOREIGN = ("string", "complex64")


def listed_arrays(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each array with its name; quantized numbers are decoded.

    Raises ExportError if the list or a file is damaged, missing or outside of the folder of `path`.
    """
    try:
        groups = json.loads(path.read_bytes())["weightsManifest"]
        for group in groups:
            entries = [(str(entry["name"]), _Layout(path, entry)) for entry in group["weights"]]
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

    def __init__(self, path: Path, entry: dict[str, Any]) -> None:
        if entry["dtype"] in _FOREIGN:
            raise ExportError(
                f"model {path} cannot be loaded: the weights {str(entry['name'])!r} are of type {entry['dtype']} "
                f"(allowed: {', '.join(_DTYPES)})"
            )
        quantization = entry.get("quantization") or {}
        self._stored = np.dtype(_DTYPES[quantization.get("dtype", entry["dtype"])])
        self._meant = np.dtype(_DTYPES[entry["dtype"]])
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
        decoded = array.astype(np.float32) * np.float32(self._scale) + np.float32(self._least)
        return np.rint(decoded).astype(self._meant) if self._meant.kind in "iu" else decoded


def _file(model: Path, name: str) -> bytes:
    """Return the bytes of a file beside the model. Raises ExportError if it lies elsewhere or is missing."""
    folder, inside = model.parent.resolve(), PurePosixPath(name)
    path = folder / inside
    if inside.is_absolute() or path.resolve() != path:
        raise ExportError(f"model {model} takes its weights from {name!r} (allowed: files in its own folder)")
    if not path.is_file():
        raise ExportError(f"model {model} is incomplete: {name}, with its weights, is missing: copy the whole folder")
    if is_pointer(path):
        raise ExportError(f"model {model} has, as {name}, a {POINTER_REMEDY}")
    return path.read_bytes()
