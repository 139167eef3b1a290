"""From nothing to one feature: a fresh process each time, its time, its memory, and what has to be installed for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from tqdm import tqdm

import edgefeat
from edgefeat import EdgefeatError
from edgefeat_bench._records import ColdStart

__all__ = ["cold_starts"]

#: The shortest Keras script that does the same: what it prints is not looked at, only that it ends well.
_KERAS = """
import sys
import numpy as np
from keras import applications, utils
height, width, weights, photo = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
options = {name: float(value) for name, value in (pair.split("=") for pair in sys.argv[6:])}
factory, = [value for name, value in vars(applications).items() if name.lower() == sys.argv[5] and name[0].isupper()]
module = getattr(applications, factory.__module__.rpartition(".")[2])
model = factory(include_top=False, pooling="avg", weights=None if weights == "none" else weights,
                input_shape=(height, width, 3), **options)
image = utils.load_img(photo, target_size=(height, width), interpolation="bilinear")
feature = model.predict(module.preprocess_input(utils.img_to_array(image)[None]), verbose=0)[0]
np.save(sys.stdout.buffer, feature / np.linalg.norm(feature))
"""

# A child's peak counts from what its parent held when it was started: this one holds next to nothing.
_LAUNCHER = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
took = time.perf_counter() - started
print(json.dumps([took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode]))
"""


def cold_starts(bundle: str, photo: str, *, rounds: int, folder: Path, show: bool) -> tuple[ColdStart, ...]:
    """The Keras script and `edgefeat extract` in turn, `rounds` times each after one that is not counted.

    Whole processes: interpreter, imports, model, one photo, feature written. The first, which is thrown away, also lets
    edgefeat try its engine and Python write its bytecode. Raises EdgefeatError where one fails.
    """
    manifest = edgefeat.Bundle.open(bundle).manifest
    commands = {
        "keras script": [sys.executable, "-c", _KERAS, *_keras_arguments(manifest, photo)],
        "edgefeat extract": [
            *(sys.executable, "-m", "edgefeat", "extract", bundle, photo, "-o", str(folder / "cold.npy"))
        ],
    }
    installed = {
        "keras script": _installed_bytes(["tensorflow", "pillow"]),
        "edgefeat extract": _installed_bytes(["numpy", "pillow", "click", "tqdm", "ai-edge-litert"]) + _own_bytes(),
    }
    if sys.platform == "win32":
        return ()  # a finished process's memory cannot be read there
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    peaks: dict[str, int] = dict.fromkeys(commands, 0)
    for turn in tqdm(range(rounds + 1), unit="start", disable=not (show and sys.stderr.isatty()), leave=False):
        for name, command in commands.items():
            took, peak = _run(name, command)
            peaks[name] = max(peaks[name], peak)
            if turn:
                seconds[name].append(took)
    return tuple(ColdStart(name, tuple(seconds[name]), peaks[name], installed[name]) for name in commands)


def _keras_arguments(manifest: edgefeat.Manifest, photo: str) -> list[str]:
    form, weights = manifest.picture, manifest.backbone.weights
    options = [f"{name}={value}" for name, value in manifest.backbone.options.items()]
    chosen = "none" if weights.startswith("random") else weights
    return [str(form.height), str(form.width), chosen, photo, manifest.backbone.name.replace("_", ""), *options]


def _run(name: str, command: Sequence[str]) -> tuple[float, int]:
    """Seconds from start to end, and the most memory held, in bytes."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    launched = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command], capture_output=True, text=True, env=environment, check=True
    )
    took, peak, status = json.loads(launched.stdout)
    if status != 0:
        raise EdgefeatError(f"{name} failed with exit status {status}: {' '.join(command)}")
    return took, peak * (1 if sys.platform == "darwin" else 1024)


def _installed_bytes(names: Sequence[str]) -> int:
    """What these distributions and all that they require take on disk here, extras left out."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.split(r"[\s;<>=!~\[(]", waiting.pop(), maxsplit=1)[0].lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # required under a marker that does not hold here
        waiting += [need for need in found[name].requires or () if "extra ==" not in need]
    return sum(_size(Path(str(file.locate()))) for one in found.values() for file in one.files or ())


def _own_bytes() -> int:
    return sum(_size(path) for path in Path(edgefeat.__file__).parent.rglob("*"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
