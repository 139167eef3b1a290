"""A support vector machine and a random forest on features extracted without TensorFlow, beside the same on Keras's.

    python examples/train_classifier.py flowers/     # one folder of photos for each label
    python examples/train_classifier.py flowers/ --weights random     # where ImageNet weights are not to be had

The backbone is MobileNetV2 with average pooling and L2 norm. Half of each label's photos train, the others test; all
features come from the same photos, so that the accuracies may be compared.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras.applications import MobileNetV2, mobilenet_v2
from keras.utils import img_to_array, load_img
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import edgefeat_export

ON_DEVICE = Path(__file__).with_name("on_device.py")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
BATCH = 32


def labelled(folder: Path, most: int | None) -> tuple[list[Path], np.ndarray]:
    """The photos of each label's folder, at most so many, and their labels."""
    photos: list[Path] = []
    for label in sorted(path for path in folder.iterdir() if path.is_dir()):
        photos += sorted(path for path in label.iterdir() if path.suffix.lower() in SUFFIXES)[:most]
    return photos, np.array([photo.parent.name for photo in photos])


def prepared(photos: list[Path], size: int) -> np.ndarray:
    """The photos as Keras's MobileNetV2 takes them, (N, size, size, 3)."""
    images = [load_img(photo, target_size=(size, size), interpolation="bilinear") for photo in photos]
    return mobilenet_v2.preprocess_input(np.stack([img_to_array(image) for image in images]))


def keras_features(model: keras.Model, photos: list[Path], size: int) -> np.ndarray:
    """What Keras gives: load, preprocess, predict, divide by the length."""
    batches = [photos[start : start + BATCH] for start in range(0, len(photos), BATCH)]
    features = np.concatenate([model.predict(prepared(batch, size), verbose=0) for batch in batches])
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def fit_batch_norms(model: keras.Model, pictures: np.ndarray) -> None:
    """Lets the pictures set the batch norms: without, what an untrained network gives shrinks to nothing."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(pictures, training=True)


def device_features(bundle: Path, photos: list[Path], variant: str) -> np.ndarray:
    """What a device gives: by another process, which does not know TensorFlow."""
    output = bundle.parent / f"{variant}.npy"
    command = [sys.executable, str(ON_DEVICE), str(bundle), *map(str, photos), "--variant", variant]
    subprocess.run([*command, "-o", str(output)], check=True, stdout=subprocess.DEVNULL)
    return np.load(output)


def accuracies(features: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float]:
    """Of the support vector machine and of the forest, on the half that they were not trained on."""
    train, test = train_test_split(np.arange(len(labels)), test_size=0.5, stratify=labels, random_state=seed)
    machine = SVC(kernel="linear", C=10)
    forest = RandomForestClassifier(300, random_state=seed)
    scores = [
        model.fit(features[train], labels[train]).score(features[test], labels[test]) for model in (machine, forest)
    ]
    return scores[0], scores[1]


def main() -> int:
    """Exports, extracts, trains and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder with a folder of photos for each label")
    parser.add_argument("--weights", default="imagenet", choices=("imagenet", "random"))
    parser.add_argument("--alpha", type=float, default=0.35, help="width of MobileNetV2 (default: 0.35)")
    parser.add_argument("--size", type=int, default=224, help="side of its pictures (default: 224)")
    parser.add_argument("--per-label", type=int, help="photos of each label (default: all)")
    parser.add_argument("--variants", default="tflite-float32,tflite-int8,onnx-int8", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides which photos train (default: 0)")
    given = parser.parse_args()
    photos, labels = labelled(given.photos, given.per_label) if given.photos.is_dir() else ([], np.array([]))
    if len(set(labels)) < 2:
        parser.error(f"{given.photos} has fewer than two folders of photos")
    return compare(given, photos, labels)


def compare(given: argparse.Namespace, photos: list[Path], labels: np.ndarray) -> int:
    """Prints a row for Keras and one for each variant."""
    keras.utils.set_random_seed(given.seed)
    random = given.weights == "random"
    model = MobileNetV2(
        input_shape=(given.size, given.size, 3),
        alpha=given.alpha,
        include_top=False,
        pooling="avg",
        weights=None if random else given.weights,
    )
    variants = given.variants.split(",")
    with tempfile.TemporaryDirectory() as folder:
        if random:
            print("The weights are random: compare the rows, the accuracies themselves mean little.")
            fit_batch_norms(model, prepared(photos[:: len(photos) // BATCH + 1], given.size))
            model.save_weights(Path(folder, "random.weights.h5"))
        bundle = Path(folder, "mobilenet_v2.edgefeat")
        edgefeat_export.export(
            "mobilenet_v2",
            bundle,
            alpha=given.alpha,
            input_size=given.size,
            weights=str(Path(folder, "random.weights.h5")) if random else given.weights,
            calibration=given.photos,
            variants=variants,
            tell=print,
        )
        expected = keras_features(model, photos, given.size)
        print(f"{len(photos)} photos of {len(set(labels))} labels, half of each to train on")
        print(f"{'features by':16} {'least cosine':>12} {'SVM':>7} {'forest':>7}")
        for name in ("keras", *variants):
            features = expected if name == "keras" else device_features(bundle, photos, name)
            machine, forest = accuracies(features, labels, given.seed)
            print(f"{name:16} {(features * expected).sum(1).min():12.6f} {machine:7.3f} {forest:7.3f}")
    return 0


if __name__ == "__main__":
    logging.getLogger("absl").setLevel(logging.ERROR)
    sys.exit(main())
