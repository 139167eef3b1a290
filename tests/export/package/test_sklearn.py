"""Classifiers on `ImageFeatures` predict the same as on the features of Keras."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the export extra is not installed")
pytest.importorskip("tensorflow", reason="the export extra is not installed")

from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import edgefeat_export
from edgefeat.sklearn import ImageFeatures

EXAMPLE = Path(__file__).parents[3] / "examples" / "sklearn_pipeline.py"
PER_LABEL = 8

# In a process of its own, so that TensorFlow's threads and memory end with it: what a Keras user writes.
_KERAS = """
import sys
import numpy as np
from keras.applications import MobileNetV2
from keras.applications.mobilenet_v2 import preprocess_input
from keras.utils import img_to_array, load_img
model = MobileNetV2(input_shape=(224, 224, 3), alpha=0.35, include_top=False, pooling="avg", weights="imagenet")
images = [load_img(path, target_size=(224, 224), interpolation="bilinear") for path in sys.argv[2:]]
features = model.predict(preprocess_input(np.stack([img_to_array(image) for image in images])), verbose=0)
np.save(sys.argv[1], features / np.linalg.norm(features, axis=1, keepdims=True))
"""


@pytest.fixture(scope="module")
def bundle(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MobileNetV2 0.35 with real weights."""
    folder = tmp_path_factory.mktemp("bundle") / "mobilenet_v2.edgefeat"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(shared_data / "keras-home"))
        options = {"alpha": 0.35, "pooling": "avg", "normalize": "l2", "variants": ["tflite-float32"]}
        edgefeat_export.export("mobilenet_v2", folder, calibration=shared_data / "calibration", **options)  # type: ignore[arg-type]
    return folder


def test_predictions_are_those_on_keras_features(bundle: Path, shared_data: Path, tmp_path: Path) -> None:
    photos, labels = [], []
    for label in sorted((shared_data / "flowers17").iterdir()):
        photos += [str(path) for path in sorted(label.glob("*.jpg"))[:PER_LABEL]]
        labels += [label.name] * PER_LABEL
    environment = {**os.environ, "KERAS_HOME": str(shared_data / "keras-home"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", _KERAS, str(tmp_path / "keras.npy"), *photos]
    subprocess.run(command, check=True, env=environment, timeout=300)
    expected = np.load(tmp_path / "keras.npy")
    train, test = train_test_split(np.arange(len(photos)), test_size=0.5, stratify=labels, random_state=0)
    paths, names = np.array(photos), np.array(labels)
    for classifier in (SVC(kernel="linear", C=10), RandomForestClassifier(300, random_state=0)):
        pipeline = make_pipeline(ImageFeatures(bundle, decoding="exact"), classifier).fit(paths[train], names[train])
        said = pipeline.predict(paths[test])
        right = float(np.mean(said == names[test]))
        on_keras = classifier.fit(expected[train], names[train]).predict(expected[test])
        assert right > 0.7
        assert np.sum(said != on_keras) <= 1
    features = ImageFeatures(bundle, decoding="exact").transform(photos)
    assert float((features * expected).sum(1).min()) >= 0.99999


def test_the_example_prints_accuracies_and_keeps_a_pipeline(bundle: Path, shared_data: Path, tmp_path: Path) -> None:
    options = ["--per-label", "8", "--tune", "--keep", "kept.joblib"]
    command = [sys.executable, str(EXAMPLE), str(bundle), str(shared_data / "flowers17"), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = dict(re.findall(r"^(SVM|forest) +(\S+) of the other half are right$", done.stdout, flags=re.MULTILINE))
    assert set(scores) == {"SVM", "forest"}
    assert min(map(float, scores.values())) > 0.6
    assert len(re.findall(r"class_\d\d", done.stdout.splitlines()[-1])) == 5
    assert (tmp_path / "kept.joblib").stat().st_size > 1000


def test_a_folder_without_photos_is_wrong_use(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE), "some.edgefeat", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr.splitlines()[-1]
