"""Makes the folder of `model_files`, once for a bundle and the installed packages: later runs use it again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

import edgefeat
from edgefeat import EdgefeatError
from edgefeat._bundle.json_records import RecordError
from edgefeat_bench._contenders.model_files import FACTS, ModelFacts
from edgefeat_bench._contenders.registry import EXPORT
from edgefeat_bench._processes import run_module

_NEEDED = ("tensorflow", "keras", "tf2onnx")


def model_folder(bundle: edgefeat.Bundle, cache: Path, *, files: Sequence[str], model: str, calibration: str) -> Path:
    """Return the folder below `cache` with the Keras model of `bundle`, or the reason why there is none.

    It holds `files`, names of `model_files`, or says why one is missing. `model` is the saved model or weights file
    that the bundle was made from, if any; `calibration` the photos that random weights and a projection were fitted
    to, "synthetic" if there were none.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    versions = [f"{name} {'none' if name in missing else _version(name)}" for name in _NEEDED]
    key = "\n".join([bundle.identity, edgefeat.__version__, model, calibration, *versions])
    folder = cache / f"{bundle.manifest.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if _complete(folder, files):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    weights = bundle.manifest.backbone.weights
    if weights.startswith("file ") and not model:
        reason = f"the bundle was made from {weights.removeprefix('file ')}, which was not given"
        ModelFacts(bundle.identity, reason, "edgefeat-bench run --model FILE").write(folder)
    elif missing:
        ModelFacts(bundle.identity, f"{', '.join(missing)} not installed", EXPORT).write(folder)
    else:
        try:
            run_module("edgefeat_bench._setup.keras_model", str(bundle.path), str(folder), model, calibration, *files)
        except EdgefeatError as error:
            if not (folder / FACTS).exists():
                ModelFacts(bundle.identity, f"Keras could not build the model: {error}").write(folder)
    return folder


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # such as tensorflow-cpu, whose module is tensorflow
        return "of another name"


def _complete(folder: Path, files: Sequence[str]) -> bool:
    try:
        facts = ModelFacts.read(folder)
    except (OSError, ValueError, RecordError):  # not made yet, or interrupted
        return False
    return not facts.reason and all((folder / name).exists() or name in (facts.missing or {}) for name in files)
