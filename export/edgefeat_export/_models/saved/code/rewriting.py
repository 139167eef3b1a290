"""Write a copy of a saved model with another description of its layers."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from edgefeat import ExportError
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.code.leaving_out import Partial
from edgefeat_export._models.saved.recognition import SavedModel, check_expansion

__all__ = ["rewritten"]


@contextmanager
def rewritten(saved: SavedModel, partial: Partial) -> Iterator[SavedModel]:
    """Yield the saved model, described by the layers of `partial` only; an archive and HDF5 are copied for that."""
    if saved.kind not in ("archive", "hdf5"):
        yield replace(saved, config=partial.config)
        return
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        try:
            if saved.kind == "archive":
                copy = Path(folder) / "model.keras"
                _archive(saved.path, copy, partial.config)
            else:
                copy = Path(folder) / "model.h5"
                shutil.copyfile(saved.path, copy)
                _hdf5(copy, partial)
        except ExportError:
            raise
        except Exception as error:  # zipfile and h5py raise many types for a damaged file
            raise ExportError(f"model {saved.path} cannot be loaded: it is damaged: {first_line(error)}") from error
        yield replace(saved, path=copy, config=partial.config)


def _archive(source: Path, target: Path, config: dict[str, Any]) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            check_expansion(source, member)
            if member.filename == "config.json":
                new.writestr(member, json.dumps(config))
                continue
            with old.open(member) as reader, new.open(member.filename, "w", force_zip64=True) as writer:
                shutil.copyfileobj(reader, writer)


def _hdf5(path: Path, partial: Partial) -> None:
    """Replace the description in the file, and take the layers left out from the lists of those with weights."""
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(partial.config).encode()
        weights = file.get("model_weights", file)
        _shorten(weights, "layer_names", lambda name: name in partial.out)
        for name, group in weights.items():  # that of an inner model lists the weights of its layers
            inner = [path for path in partial.out if path.startswith(f"{name}/")]
            _shorten(group, "weight_names", _weight_of([*inner, *(path.removeprefix(f"{name}/") for path in inner)]))


def _weight_of(layers: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that says whether a weight, by its name, belongs to one of these layers."""
    return lambda weight: weight.startswith(tuple(f"{layer}/" for layer in layers))


def _shorten(group: h5py.Group, listed: str, is_out: Callable[[str], bool]) -> None:
    """Remove names from a list of names, which Keras divides into several attributes if it is long."""
    for attribute in [name for name in group.attrs if re.fullmatch(rf"{listed}\d*", name)]:
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs[attribute]]
        kept = [name for name in names if not is_out(name)]
        if kept != names:
            group.attrs[attribute] = np.array([name.encode() for name in kept], dtype="S" if kept else "S1")
