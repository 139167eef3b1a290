"""Brings about the folder of `_prepared`, once for a bundle and the packages installed: later runs find it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import edgefeat
from edgefeat._bundle.json_records import RecordError
from edgefeat_bench._contenders.model_files import Prepared
from edgefeat_bench._processes import child_environment

__all__ = ["prepared_folder"]

_NEEDED = {"tensorflow": "tensorflow", "keras": "keras", "tf2onnx": "tf2onnx"}


def prepared_folder(
    bundle: edgefeat.Bundle, cache: Path, *, files: Sequence[str], model: str, calibration: str
) -> Path:
    """The folder below `cache` that has the Keras model of `bundle`, or the reason why there is none.

    It holds `files`, names of `_prepared`, or says why one is missing. `model` is the saved model or weights file it
    was made from, where that is not Keras's own; `calibration` are the photos that random weights and a projection were
    fitted to ("synthetic" where there were none).
    """
    versions = [f"{name} {_version(name)}" for name in _NEEDED.values()]
    told = "\n".join([bundle.identity, edgefeat.__version__, model, calibration, *versions])
    folder = cache / f"{bundle.manifest.name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    if _complete(folder, files):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    weights = bundle.manifest.backbone.weights
    if weights.startswith("file ") and not model:
        what = f"the bundle was made from {weights.removeprefix('file ')}, which was not given"
        Prepared.without(bundle.identity, what, "edgefeat-bench run --model FILE").write(folder)
        return folder
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        what = f"{', '.join(missing)} not installed"
        Prepared.without(bundle.identity, what, "pip install 'edgefeat[export]'").write(folder)
        return folder
    log = folder / "log"
    with log.open("w") as stream:
        command = [sys.executable, "-P", "-m", "edgefeat_bench._setup.keras_model"]
        done = subprocess.run(
            [*command, str(bundle.path), str(folder), model, calibration, *files],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=child_environment(),
            check=False,
        )
    if not (folder / "facts.json").exists():
        words = log.read_text(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        Prepared.without(bundle.identity, f"Keras could not build the model: {words[-1][:200]}", "").write(folder)
    return folder


def _complete(folder: Path, files: Sequence[str]) -> bool:
    try:
        facts = Prepared.read(folder)
        return not facts.reason and all((folder / name).exists() or name in facts.missing for name in files)
    except (OSError, ValueError, RecordError):  # not made yet, or cut off
        return False


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
