"""Join a model that was saved in parts, its layers and its weights, to one file that Keras reads."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py

from edgefeat import ArgumentError
from edgefeat_export._models.saved.recognition import ARCHIVED, SavedModel
from edgefeat_export._models.weight_files.hdf5 import hdf5_attributes
from edgefeat_export._spec import weights_file

__all__ = ["joined"]

#: Where an archive of Keras 2 says that the classes of models are; `to_json` does not say it.
_MODULES = {"Functional": "keras.src.engine.functional", "Sequential": "keras"}

_HDF5_SUFFIXES = (".h5", ".hdf5")


def joined(saved: SavedModel, weights: str | None, folder: Path) -> Path:
    """Return the path of a file in `folder` with the layers of `saved`, in JSON or an unpacked archive, and weights.

    Raises ArgumentError if layers in JSON are given no HDF5 file of weights, and ExportError if that is damaged.
    """
    if saved.kind == "unpacked":
        return _archive(folder, {name: saved.path / name for name in ARCHIVED}, {})
    if weights is None:
        raise ArgumentError(
            f"model {saved.path} contains layers without weights: give the file with their weights, "
            f"edgefeat export {saved.path} --weights FILE.h5, or --weights random"
        )
    path = weights_file(weights)
    if path.suffix.lower() not in _HDF5_SUFFIXES:
        raise ArgumentError(
            f"weights {weights} do not belong to layers in JSON (allowed: a .h5 or .weights.h5 file, or "
            "for Keras 2 a TensorFlow checkpoint)"
        )
    hdf5_attributes(path, ())
    version = saved.version if saved.version[:2] in ("2.", "3.") else f"{saved.keras}.0"
    with h5py.File(path, "r") as file:
        in_classes = "model_weights" not in file and not any(name.startswith("layer_names") for name in file.attrs)
    if in_classes:  # as in archives
        config, kind = saved.config, saved.config["class_name"]
        if "module" not in config and kind in _MODULES:
            config = {**config, "module": _MODULES[kind], "registered_name": None}
        texts = {"config.json": config, "metadata.json": {"keras_version": version}}
        return _archive(folder, {ARCHIVED[-1]: path}, {name: json.dumps(text) for name, text in texts.items()})
    return _hdf5(folder, path, saved.config, version)


def _archive(folder: Path, files: dict[str, Path], texts: dict[str, str]) -> Path:
    target = folder / "model.keras"
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
        for name, path in files.items():
            archive.write(path, name)
    return target


def _hdf5(folder: Path, weights: Path, config: dict[str, Any], version: str) -> Path:
    """Write the weights and the description as Keras writes a whole model."""
    target = folder / "model.h5"
    shutil.copyfile(weights, target)
    with h5py.File(target, "r+") as file:
        if "model_weights" not in file:
            names, attributes = list(file), dict(file.attrs)
            group = file.create_group("model_weights")
            for name in names:
                file.move(name, f"model_weights/{name}")
            for name, value in attributes.items():
                group.attrs[name] = value
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = version.encode()
    return target
