"""Load a saved model in any format, with placeholders for layers whose code is not run."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._models.hub_package import PACKAGE, keras_hub
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.code.config import (
    REMEDY,
    is_foreign,
    named,
    refused_by_keras2,
    refused_by_keras3,
    saved_layers,
    subclassed,
)
from edgefeat_export._models.saved.code.leaving_out import Partial, without_code
from edgefeat_export._models.saved.code.order import check_order
from edgefeat_export._models.saved.code.placeholder import placeholder_class
from edgefeat_export._models.saved.code.rewriting import rewritten
from edgefeat_export._models.saved.formats.graphs.loading import load_graph
from edgefeat_export._models.saved.formats.joining import joined
from edgefeat_export._models.saved.formats.keras2 import load_keras2
from edgefeat_export._models.saved.formats.signature import load_signature
from edgefeat_export._models.saved.formats.tensorflowjs import assign_weights
from edgefeat_export._models.saved.graph import library_of
from edgefeat_export._models.saved.recognition import SavedModel, saved_model
from edgefeat_export._spec import RANDOM, NetworkSpec, checkpoint_of, model_name

__all__ = ["load_layers", "shortened"]

#: How tf-keras begins an error of a layer of a graph, of which it says no more in the same line.
_IN_LAYER = re.compile(r"Exception encountered when calling layer ['\"](.+)['\"] \(type (?:GraphPart|Signature)\)")


def load_layers(spec: NetworkSpec) -> Any:
    """Return the model saved at `spec.backbone` as it is, of Keras 3 or tf-keras.

    Nothing in the file is executed. Raises ArgumentError and ExportError as `load_model`.
    """
    with _whole(spec) as saved:
        divided = bool(spec.layers) or spec.weights is not None
        if saved.kind in ("graph", "frozen"):
            return _graph(saved, spec, divided=divided)
        signature = saved.keras is None and not spec.skipped
        return load_signature(saved, divided=divided) if signature else _loaded(saved, spec)


def _graph(saved: SavedModel, spec: NetworkSpec, *, divided: bool) -> Any:
    if spec.skipped:
        raise ArgumentError(f"model {spec.backbone} has operations instead of layers: leave --skip-layer out")
    return load_graph(saved, divided=divided)


@contextmanager
def _whole(spec: NetworkSpec) -> Iterator[SavedModel]:
    """Yield the saved model, as one file if it was saved in parts; errors name the path that the user gave."""
    saved = saved_model(Path(spec.backbone))
    if saved.kind in ("tensorflowjs", "graph", "frozen") and spec.weights not in (None, RANDOM):
        raise ArgumentError(f"model {spec.backbone} is used with its saved weights: leave --weights out")
    if saved.kind == "tensorflowjs" and spec.weights == RANDOM:
        saved = replace(saved, kind="json")
    if saved.kind != "unpacked" and (saved.kind != "json" or spec.weights == RANDOM):
        yield saved
        return
    checkpoint = checkpoint_of(spec.weights or "")
    if checkpoint is not None:
        if saved.keras != 2:
            raise ArgumentError(
                f"weights {spec.weights} do not belong to layers of Keras 3 (allowed: a .h5 or .weights.h5 file)"
            )
        yield replace(saved, checkpoint=checkpoint)
        return
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        path = joined(saved, spec.weights, Path(folder))
        try:
            yield saved_model(path)
        except EdgefeatError as error:
            raise type(error)(str(error).replace(str(path), spec.backbone)) from error


def _loaded(saved: SavedModel, spec: NetworkSpec) -> Any:
    """Return the model in the file, with placeholders for the layers whose code is not run and those that need them.

    A whole folder with such layers is its serving signature, which has their operations. So is one in which nothing is
    computed before them, such as a module of TensorFlow Hub with a classifier: it is cut at the scopes of its graph.
    """
    if saved.keras == 2:
        check_order(saved)
    load, refused = (load_keras2, refused_by_keras2) if saved.keras == 2 else (_load_keras3, refused_by_keras3)
    if spec.skipped:
        with _without(saved, without_code(saved.config, refused, spec.skipped)) as copy:
            try:
                return load(copy)
            except ExportError as error:
                said = str(error).replace(str(copy.path), str(saved.path))
                raise ExportError(
                    f"{said} (without {', '.join(spec.skipped)}: a layer can be skipped only if it keeps the shape of "
                    "its input)"
                ) from error
    try:
        return load(saved)
    except ExportError as error:
        partial = without_code(saved.config, refused, ())
        if not partial.code:
            raise
        divided = bool(spec.layers) or spec.weights is not None
        if saved.kind == "folder" and (not divided or _is_all_code(saved.config, partial)):
            with suppress(EdgefeatError):  # else the layers are loaded, and the export says where to cut
                return load_signature(saved, divided=divided)
        with _without(saved, partial) as copy:
            try:
                return load(copy)
            except ExportError:
                raise error from None


def _is_all_code(config: dict[str, Any], partial: Partial) -> bool:
    """Return whether all layers but inputs are code, or depend on it."""
    inside = config.get("config")
    layers = inside.get("layers") if isinstance(inside, dict) else None
    known = [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []
    computing = [layer for layer in known if layer.get("class_name") != "InputLayer"]
    return bool(computing) and all(str(named(layer)) in partial.out for layer in computing)


@contextmanager
def _without(saved: SavedModel, partial: Partial) -> Iterator[SavedModel]:
    """Yield a copy of the file with the partial description, whose placeholders are known to its Keras."""
    for kind in partial.kinds:
        placeholder_class(library_of(saved.keras == 2), kind)
    with rewritten(saved, partial) as copy:
        yield copy


def _load_keras3(saved: SavedModel) -> Any:
    if any(str(layer.get("module", "")).startswith(PACKAGE) for layer in (saved.config, *saved_layers(saved.config))):
        keras_hub()  # its layers are then known, like those of Keras
    try:
        if saved.kind in ("json", "tensorflowjs"):
            model = _described(saved.config)
            if saved.kind == "tensorflowjs":
                assign_weights(model, saved)
            return model
        with _known_by_name(saved) as path:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except ExportError:
        raise
    except Exception as error:  # Keras raises many types for a file that it cannot or must not load
        why = _foreign(saved) or f"cannot be loaded by Keras {keras.__version__}: {shortened(error)}"
        raise ExportError(f"model {saved.path} {why}") from error


def _described(config: dict[str, Any]) -> Any:
    """Return the model that `to_json` described, or as in HDF5, where the module of its class is not named."""
    if "module" in config:
        return keras.models.model_from_json(json.dumps(config))
    kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    return kind.from_config(deepcopy(config["config"]))  # it changes what it is given


@contextmanager
def _known_by_name(saved: SavedModel) -> Iterator[Path]:
    """Yield a path to the file with the suffix by which Keras recognizes the format."""
    suffix = ".keras" if saved.kind == "archive" else ".h5"
    if saved.path.name.endswith((suffix, ".hdf5") if suffix == ".h5" else suffix):  # not .H5, for Keras
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
    """Return the first line of an error of Keras, without its advice to run code of the file, or the layer it is in."""
    if "safe_mode" in str(error) or "unsafe_deserialization" in str(
        error
    ):  # the message says how to run the code anyway
        return "it contains Python code, which is not run"
    line = first_line(error)
    layer = _IN_LAYER.match(line)
    return line if layer is None else f"they do not fit layer {layer[1]!r}"


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
