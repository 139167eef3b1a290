"""Load a saved model of Keras 2 with tf-keras, without running its code: layers from their description."""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from edgefeat import ExportError
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.code.config import check_keras2
from edgefeat_export._models.saved.code.placeholder import left_out
from edgefeat_export._models.saved.formats.tensorflowjs import assign_weights
from edgefeat_export._models.saved.recognition import SavedModel, check_expansion, missing_weights
from edgefeat_export._models.weight_files.checkpoint import restore

__all__ = ["load_keras2"]

_WEIGHTS = "model.weights.h5"
#: Names of the group of a model's layers in Keras 2.12 and 2.13, and in later versions.
_OLD_LAYERS, _LAYERS = "_layer_checkpoint_dependencies", "layers"


def load_keras2(saved: SavedModel) -> Any:
    """Return the tf-keras model, not compiled.

    Raises ExportError if the model contains code or the file is damaged.
    """
    check_keras2(saved)
    import tf_keras

    model: Any
    try:
        if saved.kind == "hdf5":
            model = tf_keras.models.load_model(_named(saved.path, ".h5"), compile=False, safe_mode=True)
        elif saved.kind == "archive":
            model = _from_archive(saved)
        elif saved.kind == "folder":
            model = _described(saved)
        else:
            model = tf_keras.models.model_from_json(json.dumps(saved.config))
        if saved.kind == "tensorflowjs":
            assign_weights(model, saved)
        if saved.checkpoint is not None:
            _restore(model, saved, saved.checkpoint)
    except ExportError:
        raise
    except Exception as error:  # tf-keras raises many types for a model that it cannot build
        raise ExportError(
            missing_weights(saved)
            or f"model {saved.path}, saved by Keras {saved.version}, cannot be loaded by tf-keras "
            f"{tf_keras.__version__}: {first_line(error)}"
        ) from error
    if not isinstance(model, tf_keras.Model):
        raise ExportError(f"model {saved.path} is a {type(model).__name__} (allowed: a functional or sequential model)")
    return model


def _named(path: Path, suffix: str) -> Any:
    """Return the file's path, or the opened file if its name lacks the suffix by which tf-keras finds the format."""
    return str(path) if path.name.lower().endswith(suffix) else h5py.File(path, "r")


def _from_archive(saved: SavedModel) -> Any:
    """Return the model in a `.keras` file of Keras 2.12 to 2.15, also one written on Windows."""
    import tf_keras

    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        copy = Path(folder) / "model.keras"
        with zipfile.ZipFile(saved.path) as source, zipfile.ZipFile(copy, "w") as target:
            check_expansion(saved.path, source.getinfo(_WEIGHTS))
            target.writestr("metadata.json", source.read("metadata.json"))
            target.writestr("config.json", json.dumps({**saved.config, "compile_config": None}))
            target.writestr(_WEIGHTS, _portable(source.read(_WEIGHTS)))
        return tf_keras.models.load_model(copy, compile=False, safe_mode=True)


def _portable(weights: bytes) -> bytes:
    """Return the weights with the group names of tf-keras: `/` instead of `\\`, layers numbered from zero."""
    target = io.BytesIO()
    with h5py.File(io.BytesIO(weights), "r") as old, h5py.File(target, "w") as new:
        for name, item in _items(old):
            if isinstance(item, h5py.Group):
                new.require_group(name)
            else:
                new[name] = item[()]
        new.require_group("vars")
        for name in [name for name in _groups(new) if name.rpartition("/")[2] == _OLD_LAYERS]:
            _renumber(new, name)
    return target.getvalue()


def _items(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ExportError(f"its {name!r} is a link (allowed: arrays in the file itself)")
        item, path = group[name], f"{prefix}{name}".replace("\\", "/")
        if isinstance(item, h5py.Group):
            yield path, item
            yield from _items(item, f"{path}/")
        elif item.external or item.is_virtual:
            raise ExportError(f"its {name!r} takes its values from another file")
        else:
            yield path, item


def _groups(file: h5py.File) -> list[str]:
    """Return the paths of all groups, the innermost first."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Group) else None)
    return sorted(found, key=lambda name: -name.count("/"))


def _renumber(file: h5py.File, name: str) -> None:
    """Rename the group to `layers`, and its layers of each class to `class`, `class_1`, `class_2`...

    Keras 2.12 and 2.13 counted a layer with weights twice.
    """
    parent = name.removesuffix(_OLD_LAYERS)
    kinds: dict[str, list[tuple[int, str]]] = {}
    for layer in file[name]:
        kind, number = re.fullmatch(r"(.*?)(?:_(\d+))?", layer).groups()  # type: ignore[union-attr]  # matches any text
        kinds.setdefault(kind, []).append((int(number or 0), layer))
    for kind, layers in kinds.items():
        for index, (_, layer) in enumerate(sorted(layers)):
            file.move(f"{name}/{layer}", f"{parent}{_LAYERS}/{kind}{f'_{index}' if index else ''}")
    del file[name]


def _described(saved: SavedModel) -> Any:
    """Return the layers in a SavedModel's Keras metadata. None of the folder's functions is loaded or run."""
    import tf_keras

    kind = tf_keras.Sequential if saved.config["class_name"] == "Sequential" else tf_keras.Model
    model = kind.from_config(_plain(saved.config["config"]))
    if not model.built:
        raise ExportError(f"model {saved.path} has no defined input: build it before you save it")
    return model


def _restore(model: Any, saved: SavedModel, checkpoint: Path) -> None:
    try:
        restore(model, checkpoint, left_out)
    except ExportError as error:
        raise ExportError(missing_weights(saved) or f"model {saved.path} cannot be loaded: {error}") from error


def _plain(value: Any) -> Any:
    """Return a value of a SavedModel's metadata with its encoded tuples, shapes and dots decoded."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("__tuple__", "TensorShape"):
        return tuple(_plain(item) for item in value["items"])
    if value.get("class_name") == "__ellipsis__":
        return Ellipsis
    return {name: _plain(item) for name, item in value.items()}
