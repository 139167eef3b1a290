"""Exports saved models by the command line and compares what comes out with the model's own: docs/your-model.md.

`python tests/export/tables/saved_models.py [--models FOLDER] [--photos FOLDER]` (`make saved-models`) exports each
saved model that the test data has, and one made here for each format that the installed Keras and tf-keras write,
whole, without pooling and norm, and holds both float32 files against the model itself on 12 photos. It writes the table
of the page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("EDGEFEAT_TEST_DATA") or ROOT.parent / "shared" / "data")
PAGE = ROOT / "docs" / "your-model.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
PHOTOS = 12

#: How the pixels of each given file were scaled, by the start of its name; None: inside the model.
SCALING = {
    "teachable": "tf",
    "fer_": "tf",
    "mnist": "unit",
    "keras213": "unit",
    "keras3": "unit",
    "efficientnet_lite0": "tf",
    "picture_and": "unit",
    "savedmodel_without": "unit",
    "hdf5_named": "unit",
}
#: What is no model of pictures, or no model.
NOT_MODELS = ("not_", "mobilenetv3small")
#: Where a model of several inputs is cut.
CUTS = {"picture_and_numbers.keras": "flatten_1"}


@dataclass(frozen=True, slots=True)
class Row:
    """A saved model and how near its exported files are to it: the lowest cosine over the photos, by variant."""

    form: str
    keras: str
    takes: str
    scaled: str
    cosines: dict[str, float]


def scaling(name: str) -> str | None:
    """Return how the pixels of the given file were scaled."""
    return next((mode for start, mode in SCALING.items() if name.startswith(start)), None)


def reference(path: Path) -> Any:
    """Return the model as its own Keras loads it, cut where the export cuts it."""
    import keras
    import tf_keras

    if path.name == "keras213_windows_gray48.keras":
        return _windows(path)
    new = zipfile.is_zipfile(path) and _version(path).startswith("3")
    new = new or (path.is_file() and h5py.is_hdf5(path) and _version(path).startswith("3"))
    load: Any = keras.models.load_model if new else tf_keras.models.load_model
    model = load(path, compile=False)
    cut = CUTS.get(path.name)
    return keras.Model(model.inputs[0], model.get_layer(cut).output) if cut else model


def _version(path: Path) -> str:
    if path.is_dir():
        return "2"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    with h5py.File(path) as file:
        return str(file.attrs["keras_version"])


def _windows(path: Path) -> Any:
    """The network by its config, and its arrays by the number in their group's name."""
    import tf_keras

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        with tempfile.TemporaryDirectory() as folder:
            archive.extract("model.weights.h5", folder)
            with h5py.File(Path(folder) / "model.weights.h5") as file:
                arrays = {
                    name.rpartition("\\")[2]: [file[name]["vars"][key][()] for key in sorted(file[name]["vars"])]
                    for name in file
                    if "\\" in name
                }
    model = tf_keras.Sequential.from_config(config["config"])
    for kind in ("conv2d", "dense"):
        found = sorted(
            (name for name in arrays if name.startswith(kind) and arrays[name]),
            key=lambda name: int(name.rpartition("_")[2]) if "_" in name else 0,
        )
        own = [layer for layer in model.layers if type(layer).__name__.lower() == kind]
        for layer, name in zip(own, found, strict=True):
            layer.set_weights(arrays[name])
    return model


def expected(path: Path, mode: str | None, photos: list[Path]) -> np.ndarray[Any, Any]:
    """Return the model's own outputs for the photos, loaded as a Keras user loads them: (N, D)."""
    import keras

    model = reference(path)
    shape = tuple(model.inputs[0].shape)
    gray = len(shape) == 3 or shape[3] == 1
    rows = []
    for photo in photos:
        image = keras.utils.load_img(
            photo,
            color_mode="grayscale" if gray else "rgb",
            target_size=shape[1:3],
            interpolation="bilinear",
        )
        pixels = np.asarray(image, np.float32)
        pixels = {"tf": pixels / 127.5 - 1, "unit": pixels / 255, None: pixels}[mode]
        rows.append(pixels.reshape(shape[1:]))
    return np.asarray(model.predict(np.stack(rows), verbose=0)).reshape(len(photos), -1)


def exported(path: Path, mode: str | None, bundle: Path) -> None:
    """Export the model whole by the command line, without pooling and norm."""
    command = [sys.executable, "-m", "edgefeat", "export", str(path), "-o", str(bundle)]
    command += ["--pooling", "none", "--normalize", "none", "--variants", "tflite-float32,onnx-float32"]
    command += ["--preprocess", mode] if mode else []
    command += ["--layer", CUTS[path.name]] if path.name in CUTS else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("edgefeat: ")]
        raise RuntimeError(f"{path.name}: {said[-1] if said else done.stderr[-500:]}")


def lowest_cosines(path: Path, mode: str | None, photos: list[Path]) -> dict[str, float]:
    """Return, by variant, the lowest cosine of an exported file's features to the model's own outputs."""
    import edgefeat

    own = expected(path, mode, photos)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "a.edgefeat"
        exported(path, mode, bundle)
        found = {}
        for variant in ("tflite-float32", "onnx-float32"):
            extractor = edgefeat.load(bundle, variant=variant, decoding="exact")
            features = np.asarray(extractor.extract(photos)).reshape(len(photos), -1)
            lengths = np.linalg.norm(features, axis=1) * np.linalg.norm(own, axis=1)
            found[variant] = float(((features * own).sum(axis=1) / lengths).min())
    return found


def given_models(folder: Path) -> list[Path]:
    """Return the saved models of the test data that are models of pictures."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(NOT_MODELS))


def made_models(folder: Path) -> list[Path]:
    """Return models saved here in every format that the installed Keras and tf-keras write."""
    import keras
    import tf_keras

    made = []
    for library, forms in ((tf_keras, (".h5", ".keras", "")), (keras, (".keras", ".h5"))):
        library.utils.set_random_seed(1)
        source = library.Input((32, 32, 3))
        x = library.layers.Rescaling(1 / 255)(source)
        x = library.layers.SeparableConv2D(8, 3, activation="relu")(x)
        model = library.Model(source, library.layers.GlobalAveragePooling2D()(x))
        for form in forms:
            path = folder / f"{library.__name__}{form.replace('.', '_')}{form}"
            model.save(path, **({"save_format": "tf"} if not form else {}))
            made.append(path)
    return made


def row(path: Path, photos: list[Path]) -> Row:
    """Return the row of a saved model."""
    from edgefeat_export._models.saved.recognition import saved_model

    mode = scaling(path.name)
    saved = saved_model(path)
    form = {"archive": "`.keras`", "hdf5": "`.h5`, `.hdf5`", "folder": "SavedModel folder"}[saved.kind]
    shape = tuple(reference(path).inputs[0].shape)[1:]
    return Row(form, saved.version, " x ".join(map(str, shape)), mode or "inside", lowest_cosines(path, mode, photos))


def table(rows: list[Row]) -> str:
    """Return the rows as Markdown."""
    lines = ["| format | saved by Keras | takes | pixels scaled | TFLite | ONNX |", "|---|---|---|---|---:|---:|"]
    for one in sorted(rows, key=lambda one: (one.form, [int(part) for part in one.keras.split(".")[:2]])):
        figures = [f"{one.cosines[name]:.6f}" for name in ("tflite-float32", "onnx-float32")]
        lines.append(f"| {one.form} | {one.keras} | {one.takes} | {one.scaled} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main() -> int:
    """Writes the table into the page. Exit status 1 where a model is not what it was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=Path, default=DATA / "models")
    parser.add_argument("--photos", type=Path, default=DATA / "calibration")
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:PHOTOS]
    with tempfile.TemporaryDirectory() as folder:
        paths = [*given_models(options.models), *made_models(Path(folder))]
        rows = []
        for path in paths:
            rows.append(row(path, photos))
            print(path.name, rows[-1].cosines, flush=True)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}")
    return int(any(cosine < 0.9999 for one in rows for cosine in one.cosines.values()))


if __name__ == "__main__":
    sys.exit(main())
