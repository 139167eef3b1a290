"""The Keras model of a bundle from which a layer was skipped is built again without it, and Keras can load it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
from keras import layers

import edgefeat_export
from edgefeat._bundle.golden import KERAS, read_golden
from edgefeat_bench._contenders.model_files import KERAS_MODEL, ModelFacts
from edgefeat_bench._setup.model_folder import model_folder


def test_the_model_has_the_features_of_the_bundle(small_photos: Path, tmp_path: Path) -> None:
    photo = keras.Input((32, 32, 3))
    scaled = layers.Lambda(lambda x: x / 127.5 - 1.0, name="scale", output_shape=(32, 32, 3))(photo)
    path = tmp_path / "steering.keras"
    keras.Model(photo, layers.Conv2D(8, 3, strides=2)(scaled)).save(path)
    bundle = edgefeat_export.export(
        path,
        tmp_path / "bundle",
        preprocess="tf",
        skip_layers=["scale"],
        variants=["tflite-float32"],
        calibration=small_photos,
    ).bundle
    assert bundle.manifest.backbone.options == {"layer scale": "skipped"}
    folder = model_folder(bundle, tmp_path, files=[KERAS_MODEL], model=str(path), calibration=str(small_photos))
    facts = ModelFacts.read(folder)
    assert facts.reason == ""
    golden = read_golden(bundle)
    prepared = golden.pictures * np.float32(facts.scale[0]) + np.float32(facts.shift[0])
    found = keras.models.load_model(folder / KERAS_MODEL).predict(prepared, verbose=0)
    (expected,) = golden.features[KERAS].values()
    np.testing.assert_allclose(found, expected, atol=1e-5)
