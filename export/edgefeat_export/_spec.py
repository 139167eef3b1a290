"""The specification of an export: the network and its variants."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from edgefeat import ArgumentError
from edgefeat._bundle.manifest import Format, Gate, IntegerInput, Normalization, Pooling
from edgefeat._images.form import Fit
from edgefeat._images.frames.form import FrameForm

__all__ = [
    "HUB",
    "IMAGENET",
    "LAYERS_SUFFIX",
    "MODEL_SUFFIXES",
    "MODES",
    "RANDOM",
    "Activations",
    "Effort",
    "Fit",
    "FloatLayers",
    "IntegerInput",
    "NetworkSpec",
    "Normalization",
    "Pooling",
    "VariantSpec",
    "checkpoint_of",
    "input_size",
    "is_hub",
    "is_model_file",
    "model_name",
    "parse_config",
    "parse_float_layers",
    "parse_input",
    "weights_file",
]

Effort = Literal["quick", "normal", "thorough"]

#: How the inputs of a transformer's dense layers are quantized: over the range seen in calibration, or of each run.
Activations = Literal["static", "dynamic"]

#: The number of first layers that stay in float in int8 files, by format; None means as many as cost no time.
FloatLayers = dict[str, int] | None

#: Weights that are not a file.
IMAGENET, RANDOM = "imagenet", "random"

#: Names of ways to scale pixels.
MODES = ("tf", "torch", "caffe", "unit", "raw")

_FORMATS = get_args(Format)

MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")

#: The suffix of a model's layers without weights.
LAYERS_SUFFIX = ".json"
_SUFFIXES = (*MODEL_SUFFIXES, LAYERS_SUFFIX, ".pb")

#: The beginning of a backbone of KerasHub: a preset, the folder of one, or a class.
HUB = "hub:"
#: Files of a SavedModel folder, and of an unpacked Keras archive.
_FOLDER_MARKS = ("saved_model.pb", "model.weights.h5")

_LARGEST_SIDE = 2048
_WEIGHTS_SUFFIXES = (".h5", ".hdf5", ".keras", ".safetensors")
_TORCH = (
    "import torch, safetensors.torch as s; "
    "s.save_file(torch.load('{old}', map_location='cpu', weights_only=True), '{new}.safetensors')"
)
_NUMPY = "import numpy, safetensors.numpy as s; s.save_file(dict(numpy.load('{old}')), '{new}.safetensors')"
#: Commands that convert unsupported files to safetensors.
_PICKLED = {
    **dict.fromkeys((".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".tar"), _TORCH),
    **dict.fromkeys((".npy", ".npz"), _NUMPY),
}


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A backbone, its cut, the head to bake in, and the images to fit and measure it on.

    `backbone` is a name, "hub:" and a preset, folder or class of KerasHub, or the path of a saved model, a file or a
    SavedModel folder. `weights` is "imagenet", "random" or a file; None means "imagenet" for a name, and for a saved
    model or a preset its own weights. `config` are arguments of a KerasHub class, by name, as JSON. `size` is height
    and width; None means the model's own. `preprocess` None means the backbone's own, and for a saved model what it
    does itself. `inputs` fixes other inputs of a saved model, by name, to numbers; `skipped` are its layers whose code
    is not run that pass their input on instead. `layers` empty means the backbone's
    last; `pooling` None means that of the backbone's authors for tokens, "avg" for a feature map; `fit` None the
    backbone's own. `project` is the number of PCA dimensions. `calibration` is a folder of photos, or "synthetic";
    `evaluation` a folder to measure fidelity on. `frames` are the camera frames that files are wanted for.
    """

    backbone: str
    alpha: float | None = None
    weights: str | None = None
    seed: int = 0
    size: tuple[int, ...] | None = None
    preprocess: str | None = None
    inputs: dict[str, tuple[float, ...]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    config: dict[str, str] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    pooling: Pooling | None = None
    normalization: Normalization = "l2"
    project: int | None = None
    whiten: bool = False
    calibration: str = "synthetic"
    evaluation: str | None = None
    fit: Fit | None = None
    background: str = "white"
    frames: tuple[FrameForm, ...] = ()

    @property
    def weights_origin(self) -> str:
        """The origin of the weights, as text for the user."""
        if is_model_file(self.backbone) and self.weights is None:
            return f"file {os.path.basename(self.backbone)}"
        if self.weights is None and is_hub(self.backbone):
            preset = self.backbone.removeprefix(HUB)
            return f"preset {preset if '://' in preset else os.path.basename(os.path.normpath(preset))}"
        if self.weights is None or self.weights == IMAGENET:
            return IMAGENET
        return f"random, seed {self.seed}" if self.weights == RANDOM else f"file {os.path.basename(self.weights)}"


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """The wanted variants, by name, and how int8 is made.

    int8 must pass `gate`, with the `pieces` of the correction allowed, by name; `effort` limits the search. `jobs`
    conversions that use TensorFlow run at once. `named` says whether the user asked for these variants by name: then
    int8 is made even if it is slower than float. `float_layers` fixes the first layers in float. `integer_input` is the
    type of the pixels of the variant without floats.
    """

    variants: tuple[str, ...]
    gate: Gate
    pieces: tuple[str, ...]
    effort: Effort = "normal"
    jobs: int = 1
    named: bool = False
    float_layers: FloatLayers = None
    integer_input: IntegerInput = "uint8"


def is_hub(backbone: str) -> bool:
    """Return whether `backbone` is of KerasHub: `hub:` and a preset, the folder of one, or a class."""
    return backbone.startswith(HUB)


def is_model_file(backbone: str) -> bool:
    """Return whether `backbone` is the path of a saved model rather than a name.

    It is a path if it has the suffix of a saved model, contains a folder, or names an existing folder of one.
    """
    if is_hub(backbone):
        return False
    if backbone.lower().endswith(_SUFFIXES) or "/" in backbone or os.sep in backbone:
        return True
    marks = (os.path.join(backbone, mark) for mark in _FOLDER_MARKS)
    return any(map(os.path.isfile, marks)) or ("." in backbone and os.path.isfile(backbone))


def model_name(path: str) -> str:
    """Return the name of a saved model: that of its file, without the suffix."""
    name = os.path.basename(os.path.abspath(path))
    return next((name[: -len(end)] for end in _SUFFIXES if name.lower().endswith(end)), name) or name


def parse_input(text: str) -> tuple[str, tuple[float, ...]]:
    """Return name and numbers of `NAME=1,2,3`. Raises ArgumentError for anything else."""
    name, equals, values = text.partition("=")
    try:
        numbers = tuple(float(value) for value in values.split(","))
    except ValueError:
        numbers = ()
    if not name or not equals or not numbers or not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"input {text!r} (allowed: NAME=NUMBER or NAME=NUMBER,NUMBER..., one for each element)")
    return name, numbers


def parse_config(texts: Sequence[str]) -> dict[str, str]:
    """Return arguments by name, as JSON, from `NAME=VALUE` and from JSON files that contain them by name.

    A value is JSON, such as 16, true or [224,224,3]; a word that is not JSON is text. The `config` in a file that
    Keras wrote is used. Raises ArgumentError for anything else.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name.isidentifier():
            found[name] = value if _is_json(value) else json.dumps(value)
        elif os.path.isfile(text):
            found |= _config_of_file(text)
        else:
            raise ArgumentError(f"config {text!r} (allowed: NAME=VALUE, such as patch_size=16, or a JSON file)")
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _config_of_file(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as stream:
            values = json.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        raise ArgumentError(f"config {path} cannot be read: {error}") from error
    if isinstance(values, dict) and isinstance(values.get("config"), dict):
        values = values["config"]
    if not isinstance(values, dict):
        raise ArgumentError(f"config {path} contains a {type(values).__name__} (allowed: arguments by name)")
    return {str(name): json.dumps(value) for name, value in values.items()}


def parse_float_layers(text: str) -> FloatLayers:
    """Return None for `auto`, and the number of layers by format for `4` or `tflite=4,onnx=0`.

    Raises ArgumentError for anything else.
    """
    if text == "auto":
        return None
    parts = [part.strip().rpartition("=") for part in text.split(",")]
    found = {name: int(count) for name, _, count in parts if count.isdecimal()}
    if len(found) == len(parts) and set(found) == {""}:
        return dict.fromkeys(_FORMATS, found[""])
    if len(found) < len(parts) or not {*found} <= {*_FORMATS}:
        raise ArgumentError(f"float layers {text!r} (allowed: auto, a number such as 4, or tflite=4,onnx=0)")
    return dict.fromkeys(_FORMATS, 0) | found


def weights_file(weights: str) -> Path:
    """Return the file that `weights` names, or the prefix of a checkpoint's files.

    Raises ArgumentError if it does not exist or has an unsupported type.
    """
    checkpoint = checkpoint_of(weights)
    if checkpoint is not None:
        return checkpoint
    if os.path.isdir(weights):
        inside = ", ".join(os.path.join(weights, name) for name in _checkpoints(weights)[-3:]) or "it has none"
        raise ArgumentError(f"weights {weights!r} are a folder (allowed: a file, or a checkpoint in it: {inside})")
    old = os.path.basename(weights)
    new, suffix = os.path.splitext(old)
    suffix = suffix.lower()
    if suffix in _PICKLED:
        raise ArgumentError(
            f"weights {weights} may be pickled, and unpickling runs code from the file: convert it to "
            f'safetensors on a machine where that is safe, python -c "{_PICKLED[suffix].format(old=old, new=new)}"'
        )
    if suffix not in _WEIGHTS_SUFFIXES:
        raise ArgumentError(
            f"weights {weights!r} are unknown (allowed: {IMAGENET}, {RANDOM}, a .h5, .weights.h5, .keras or "
            ".safetensors file, or a TensorFlow checkpoint)"
        )
    if not os.path.isfile(weights):
        raise ArgumentError(f"weights {weights!r} do not exist (allowed: a file)")
    return Path(weights)


def checkpoint_of(weights: str) -> Path | None:
    """Return the prefix of a checkpoint's files, if `weights` is it, one of them, or the folder of one; else None."""
    if os.path.isdir(weights):
        found = _checkpoints(weights)
        return Path(weights, found[0]) if len(found) == 1 else None
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", weights)
    return Path(prefix) if os.path.isfile(f"{prefix}.index") else None


def _checkpoints(folder: str) -> list[str]:
    return sorted(name.removesuffix(".index") for name in os.listdir(folder) if name.endswith(".index"))


def input_size(value: int | str | Sequence[int]) -> tuple[int, int]:
    """Return height and width from `224`, `"224"`, `"192x256"` or `(192, 256)`.

    Raises ArgumentError for anything else.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", value.strip())
        sides = [int(side) for side in match.groups() if side] if match else []
    else:
        sides = [value] if isinstance(value, int) else list(value)
    if len(sides) not in (1, 2) or not all(isinstance(side, int) and 1 <= side <= _LARGEST_SIDE for side in sides):
        raise ArgumentError(f"input size {value!r} (allowed: N or HEIGHTxWIDTH, each 1 to {_LARGEST_SIDE})")
    return sides[0], sides[-1]
