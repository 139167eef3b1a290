"""Recognize a saved model, of whatever kind, and the Keras version that wrote it, by content."""

from __future__ import annotations

import codecs
import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._models.weight_files.hdf5 import LARGEST_EXPANSION, hdf5_attributes
from edgefeat_export._spec import MODEL_SUFFIXES

__all__ = [
    "ARCHIVED",
    "POINTER_REMEDY",
    "SavedModel",
    "check_expansion",
    "is_pointer",
    "missing_weights",
    "saved_model",
]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_GRAPH = b"\n"  # the first operation; a SavedModel begins with its version
_BESIDE_GRAPH = ("keras_metadata.pb", "tfhub_module.pb")
_BESIDE_LAYERS = ("keras_version", "backend", "model_config", "training_config")
_LONGEST_CONFIG = 2**26  # bytes of JSON
_SHORT = 2**20  # bytes
_KERAS = (
    "a .keras or .h5 file that Keras 2 or 3 saved, a SavedModel folder, a frozen graph, the model.json of "
    "TensorFlow.js, or the .json of model.to_json() with --weights"
)

#: The name that TensorFlow.js and Teachable Machine give a model.
_BROWSER = "model.json"

#: The files of a Keras archive, which some people unpack.
ARCHIVED = ("config.json", "metadata.json", "model.weights.h5")
#: Files that a preset of KerasHub has beside these.
_OF_PRESET = ("preprocessor.json", "task.json")

# The first bytes of gzip, bzip2, xz and Zstandard: TensorFlow Hub and Kaggle give a SavedModel as .tar.gz.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_POINTER = b"version https://git-lfs"
_LONGEST_POINTER = 1024
POINTER_REMEDY = "Git LFS pointer, not the file itself: fetch it with `git lfs pull`"

#: Files often mistaken for a Keras model, by their first bytes or suffix, with what to do instead.
_FOREIGN_STARTS: tuple[tuple[bytes, str], ...] = (
    (_POINTER, f"is a {POINTER_REMEDY}"),
    (b"\xef\xbf\xbdHDF", "is an HDF5 file damaged by saving it as text: get it again"),
    (b"<!DOCTYPE", "is a web page, not the file you wanted to download: download it again"),
    (b"<!doctype", "is a web page, not the file you wanted to download: download it again"),
    (b"<html", "is a web page, not the file you wanted to download: download it again"),
    *(
        (
            b"\x80" + bytes([protocol]),
            "is pickled, perhaps by PyTorch or Keras 1; it is not loaded, because unpickling runs code from the file",
        )
        for protocol in (2, 3, 4, 5)
    ),
    *((begin, "is compressed: unpack it, as with tar -xf, and name what was in it") for begin in _COMPRESSED),
)
_FOREIGN_SUFFIXES = {
    ".tflite": "is a TFLite file: it is already converted and cannot be cut or compared with Keras",
    ".onnx": "is an ONNX file: it is already converted and cannot be cut or compared with Keras",
    ".pb": "is not a frozen graph: if it belongs to a SavedModel, use the folder that contains it",
    ".pt": "is a PyTorch file",
    ".pth": "is a PyTorch file",
    ".json": "is not the description of a Keras model that model.to_json() gives",
}

#: "json" are layers without weights, "tensorflowjs" layers whose weights lie beside them, "graph" operations whose
#: weights do, "frozen" operations with their weights, "unpacked" the folder of an unpacked archive.
Kind = Literal["archive", "frozen", "hdf5", "folder", "graph", "json", "tensorflowjs", "unpacked"]


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A saved model, not yet loaded.

    `keras` is the major version of Keras that wrote it (2 also for older versions), or None for a SavedModel without a
    Keras model and for a graph. `config` is the JSON description of its layers, empty if it has none. `checkpoint` are
    the weights, if they are in a TensorFlow checkpoint.
    """

    path: Path
    kind: Kind
    keras: int | None
    version: str
    config: dict[str, Any]
    checkpoint: Path | None = None


def saved_model(path: Path) -> SavedModel:
    """Return the saved model at `path`, whatever its suffix, without building or running anything in it.

    Raises ArgumentError if the path does not exist or is not a Keras model, and ExportError if it is damaged.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise ArgumentError(f"model {os.fspath(path)!r} does not exist (allowed: {_KERAS})")
    with path.open("rb") as stream:
        start = stream.read(32)
    if start.startswith(_HDF5):
        return _hdf5(path)
    if start.startswith(_ZIP):
        return _archive(path)
    if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"{", b'"{')) and (layers := _json(path)) is not None:
        return layers
    suffix = path.suffix.lower()
    # Text may begin with space, as a graph begins with what would be one.
    foreign = next(
        (said for begin, said in _FOREIGN_STARTS if (start.lstrip() if begin.isascii() else start).startswith(begin)),
        None,
    )
    if suffix == ".pb" and start.startswith(_GRAPH) and foreign is None and path.name not in _BESIDE_GRAPH:
        return SavedModel(path, "frozen", None, "", {})
    what = foreign or _FOREIGN_SUFFIXES.get(suffix)
    if start and what is None:
        what = f"is not a Keras model: it begins with {start[:8]!r}"
    raise ExportError(f"model {path} {what or 'is empty'} (allowed: {_KERAS})")


def _hdf5(path: Path) -> SavedModel:
    try:
        attributes = hdf5_attributes(path, ("model_config", "keras_version"))
    except ExportError as error:
        raise ExportError(f"model {path} cannot be loaded: {error}") from error
    if "model_config" not in attributes:
        raise ArgumentError(
            f"model {path} contains only weights, without layers: load them into the backbone that "
            f"they were saved from, edgefeat export BACKBONE --weights {path}, where BACKBONE is a name or the file of "
            "model.to_json(); or save the whole model with model.save('model.keras')"
        )
    config = _parsed(path, attributes["model_config"])
    return SavedModel(path, "hdf5", *_version(attributes.get("keras_version"), config), config)


def _version(said: object, config: dict[str, Any]) -> tuple[int, str]:
    """Return the major version of Keras that wrote a file, and the whole version as text."""
    version = said if isinstance(said, str) else ""
    if re.match(r"\d{1,3}\.", version):
        return max(int(version.partition(".")[0]), 2), version
    # Keras 3 describes an input by `batch_shape`, earlier versions by `batch_input_shape`; not all store their version.
    return (3, "3") if "'batch_shape'" in repr(config) else (2, "2 or older")


def _json(path: Path) -> SavedModel | None:
    """Return the model in a `model.json` of TensorFlow.js, or the layers of `model.to_json()`, perhaps as JSON in JSON.

    Other JSON gives None.
    """
    try:
        with path.open("rb") as stream:
            found = json.loads(stream.read(_LONGEST_CONFIG), object_hook=_renamed)
        found = json.loads(found, object_hook=_renamed) if isinstance(found, str) else found
    except (ValueError, RecursionError):
        return None
    kind: Kind = "json"
    if isinstance(found, dict) and isinstance(found.get("modelTopology"), dict):
        kind, found = "tensorflowjs", found["modelTopology"]
        if "node" in found:
            return SavedModel(path, "graph", None, "", {})
        inside = found.get("model_config")
        found = {**found, **inside} if isinstance(inside, dict) else found
    if not isinstance(found, dict) or not isinstance(found.get("class_name"), str) or "config" not in found:
        return None
    config = {key: value for key, value in found.items() if key not in _BESIDE_LAYERS}
    return SavedModel(path, kind, *_version(found.get("keras_version"), config), config)


def _renamed(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object with Keras's name for an input's shape, which some change because TensorFlow.js has another."""
    if "batchInputShape" in found:
        found.setdefault("batch_input_shape", found.pop("batchInputShape"))
    return found


def _archive(path: Path) -> SavedModel:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "config.json" not in names:
                raise ArgumentError(_other_archive(path, names))
            config = _parsed(path, _member(archive, "config.json"))
            metadata = _parsed(path, _member(archive, "metadata.json")) if "metadata.json" in names else {}
    except EdgefeatError:
        raise
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise ExportError(f"model {path} cannot be loaded: it is not a valid .keras archive: {error}") from error
    version = str(metadata.get("keras_version", ""))
    return SavedModel(path, "archive", 2 if version.startswith("2.") else 3, version or "3", config)


def _other_archive(path: Path, names: list[str]) -> str:
    inside = [name for name in names if name.lower().endswith((*MODEL_SUFFIXES, "saved_model.pb", _BROWSER))]
    if inside:
        place = inside[0].removesuffix("saved_model.pb").rstrip("/") or "the folder"
        return f"model {path} is an archive that contains a model: unpack it and use {place}"
    if any(name.endswith("data.pkl") for name in names):
        return f"model {path} is a PyTorch file (allowed: {_KERAS})"
    return f"model {path} is an archive without config.json, so it was not saved by Keras (allowed: {_KERAS})"


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as stream:
        data = stream.read(_LONGEST_CONFIG + 1)
    if len(data) > _LONGEST_CONFIG:
        raise ValueError(f"{name} is longer than {_LONGEST_CONFIG} bytes")
    return data


def _parsed(path: Path, data: str | bytes) -> dict[str, Any]:
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ExportError(f"model {path} cannot be loaded: the description of its layers is damaged") from error
    if not isinstance(config, dict):
        raise ExportError(f"model {path} cannot be loaded: the description of its layers is a {type(config).__name__}")
    return config


def _folder(path: Path) -> SavedModel:
    if all((path / name).is_file() for name in ARCHIVED):
        link = next((name for name in ARCHIVED if (path / name).is_symlink()), None)
        if link is not None:
            raise ExportError(f"model {path} contains a link, {link!r} (allowed: regular files)")
        if any((path / name).is_file() for name in _OF_PRESET):
            raise ArgumentError(f"model {path} is the folder of a preset of KerasHub: name it hub:{path}")
        _check_pointers(path, *(path / name for name in ARCHIVED))
        return SavedModel(path, "unpacked", None, "", {})
    if not (path / "saved_model.pb").is_file():
        candidates = sorted(
            name for name in os.listdir(path) if name.lower().endswith((*MODEL_SUFFIXES, ".savedmodel", _BROWSER))
        )
        browser = _json(path / _BROWSER) if candidates == [_BROWSER] else None
        if browser is not None and browser.kind != "json":
            return browser
        near = f"; it contains {', '.join(candidates[:3])}: use that path" if candidates else ""
        raise ArgumentError(f"model {path} is a folder without saved_model.pb, so not a SavedModel{near}")
    for folder, folders, files in os.walk(path):
        link = next((name for name in [*folders, *files] if os.path.islink(os.path.join(folder, name))), None)
        if link is not None:
            raise ExportError(f"model {path} contains a link, {link!r} (allowed: regular files)")
        _check_pointers(path, *(Path(folder, name) for name in files))
    from edgefeat_export._models.saved.metadata import layers_of_folder

    config = layers_of_folder(path)
    keras, version = (2, "2") if config else (None, "")
    return SavedModel(path, "folder", keras, version, config, path / "variables" / "variables")


def _check_pointers(model: Path, *files: Path) -> None:
    """Raise ExportError if a file of the model is what Git leaves in its place without Git LFS."""
    for file in files:
        if is_pointer(file):
            raise ExportError(f"model {model} contains, as {file.name}, a {POINTER_REMEDY}")


def is_pointer(file: Path) -> bool:
    """Return whether a file is what Git leaves in its place without Git LFS."""
    if file.stat().st_size > _LONGEST_POINTER:
        return False
    with file.open("rb") as stream:
        return stream.read(len(_POINTER)) == _POINTER


def check_expansion(path: Path, member: zipfile.ZipInfo) -> None:
    """Raise ExportError if a member of the archive would expand more than real weights, or than a short text, can."""
    least = 1 if member.filename.endswith(".h5") else _SHORT
    if member.file_size > LARGEST_EXPANSION * max(member.compress_size, least):
        raise ExportError(
            f"model {path} declares {member.file_size} bytes of {member.filename} in {member.compress_size}"
        )


def missing_weights(saved: SavedModel) -> str | None:
    """Return the error for a folder that lacks the files with its weights, or None if they exist."""
    if saved.kind != "folder":
        return None
    weights = saved.path / "variables"
    index = (weights / "variables.index").is_file()
    if index and any(weights.glob("variables.data-*-of-*")):
        return None
    lacking = "variables/variables.data-00000-of-00001" if index else "variables/variables.index"
    return f"model {saved.path} is incomplete: {lacking}, with its weights, is missing: copy the whole folder"
