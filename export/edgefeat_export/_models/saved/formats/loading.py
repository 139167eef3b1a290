"""Load a saved model in any format, with placeholders for layers whose code is not run."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._models.hub_package import PACKAGE, keras_hub
from edgefeat_export._models.saved.code.config import (
    REMEDY,
    is_foreign,
    refused_by_keras2,
    refused_by_keras3,
    saved_layers,
    subclassed,
)
from edgefeat_export._models.saved.code.leaving_out import Partial, without_code
from edgefeat_export._models.saved.code.placeholder import placeholder_class
from edgefeat_export._models.saved.code.rewriting import rewritten
from edgefeat_export._models.saved.formats.joining import joined
from edgefeat_export._models.saved.formats.keras2 import load_keras2
from edgefeat_export._models.saved.formats.signature import load_signature
from edgefeat_export._models.saved.graph import scope_name
from edgefeat_export._models.saved.recognition import SavedModel, first_line, saved_model
from edgefeat_export._spec import RANDOM, NetworkSpec, model_name

__all__ = ["load_layers", "shortened"]


def load_layers(spec: NetworkSpec) -> Any:
    """Return the model saved at `spec.backbone` as it is, of Keras 3 or tf-keras.

    Nothing in the file is executed. Raises ArgumentError and ExportError as `load_model`.
    """
    with _whole(spec) as saved:
        signature = saved.keras is None and not spec.skipped
        return load_signature(saved) if signature else _loaded(saved, spec)


@contextmanager
def _whole(spec: NetworkSpec) -> Iterator[SavedModel]:
    """Yield the saved model, as one file if it was saved in parts; errors name the path that the user gave."""
    saved = saved_model(Path(spec.backbone))
    if saved.kind != "unpacked" and (saved.kind != "json" or spec.weights == RANDOM):
        yield saved
        return
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        path = joined(saved, spec.weights, Path(folder))
        try:
            yield saved_model(path)
        except EdgefeatError as error:
            raise type(error)(str(error).replace(str(path), spec.backbone)) from error


def _loaded(saved: SavedModel, spec: NetworkSpec) -> Any:
    """Return the model in the file, with placeholders for the layers whose code is not run and those that need them.

    Of a folder with such layers it is the serving signature, which has their operations.
    """
    load, refused = (load_keras2, refused_by_keras2) if saved.keras == 2 else (_load_keras3, refused_by_keras3)
    if spec.skipped:
        return _skipping(saved, spec.skipped, without_code(saved.config, refused, spec.skipped), load)
    try:
        return load(saved)
    except ExportError as error:
        partial = without_code(saved.config, refused, ())
        if not partial.code or (saved.kind == "folder" and spec.layers):
            raise
        try:
            # A folder numbers the weights by the layers that have some, but has the whole network as a graph.
            return load_signature(saved) if saved.kind == "folder" else _without(saved, partial, load)
        except EdgefeatError as other:
            raise (other if _says_damaged(other, saved) else error) from None


def _skipping(saved: SavedModel, skipped: tuple[str, ...], partial: Partial, load: Callable[[SavedModel], Any]) -> Any:
    if saved.kind == "folder":
        raise ArgumentError(f"layers of {saved.path}, a SavedModel folder, cannot be skipped: save it as .keras")
    for name in skipped:
        if name not in {*partial.code, *map(scope_name, partial.code)}:
            allowed = ", ".join(partial.code) or "none in this model"
            raise ArgumentError(f"layer {name!r} cannot be skipped (allowed: layers whose code is not run: {allowed})")
    try:
        return _without(saved, partial, load)
    except ExportError as error:
        if _says_damaged(error, saved):
            raise
        raise ExportError(
            f"{error} (without {', '.join(skipped)}: a layer can be skipped only if it keeps the shape of its input)"
        ) from error


def _without(saved: SavedModel, partial: Partial, load: Callable[[SavedModel], Any]) -> Any:
    """Return the model that the partial description describes; errors name the file that the user gave."""
    library: Any = keras
    if saved.keras == 2:
        import tf_keras

        library = tf_keras
    for kind in partial.kinds:
        placeholder_class(library, kind)
    with rewritten(saved, partial) as copy:
        try:
            return load(copy)
        except EdgefeatError as error:
            raise type(error)(str(error).replace(str(copy.path), str(saved.path))) from error


def _says_damaged(error: EdgefeatError, saved: SavedModel) -> bool:
    return "damaged" in str(error).replace(str(saved.path), "")


def _load_keras3(saved: SavedModel) -> Any:
    if any(str(layer.get("module", "")).startswith(PACKAGE) for layer in (saved.config, *saved_layers(saved.config))):
        keras_hub()  # its layers are then known, like those of Keras
    try:
        if saved.kind == "json":
            return keras.models.model_from_json(json.dumps(saved.config))
        with _known_by_name(saved) as path:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types for a file that it cannot or must not load
        why = _foreign(saved) or f"cannot be loaded by Keras {keras.__version__}: {shortened(error)}"
        raise ExportError(f"model {saved.path} {why}") from error


@contextmanager
def _known_by_name(saved: SavedModel) -> Iterator[Path]:
    """Yield a path to the file with the suffix by which Keras recognizes the format."""
    suffix = ".keras" if saved.kind == "archive" else ".h5"
    if saved.path.name.lower().endswith((suffix, ".hdf5") if suffix == ".h5" else suffix):
        yield saved.path
        return
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        link = Path(folder) / f"model{suffix}"
        try:
            link.symlink_to(saved.path.resolve())
        except OSError:  # on Windows only administrators can create links
            shutil.copyfile(saved.path, link)
        yield link


def shortened(error: Exception) -> str:
    """Return the first line of an error of Keras, without its advice to run code of the file."""
    if "safe_mode" in str(error) or "unsafe_deserialization" in str(
        error
    ):  # the message says how to run the code anyway
        return "it contains Python code, which is not run"
    return first_line(error)


def _foreign(saved: SavedModel) -> str | None:
    """Return the reason for the first layer that is code instead of a layer of Keras 3; None if none is found."""
    try:
        if is_foreign(saved.config):
            return subclassed(saved.config, model_name(saved.path.name))
        reasons = map(refused_by_keras3, saved_layers(saved.config))
        why = next((why for why in reasons if why is not None), None)
        return None if why is None else why + REMEDY
    except Exception:  # noqa: BLE001  # this only explains why an arbitrary file was not loaded
        return None
