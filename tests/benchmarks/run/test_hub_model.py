"""The Keras model of a bundle of KerasHub is built again, in a form that Keras can load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")
pytest.importorskip("keras_hub", reason="the extra hub is not installed")

import keras
from tests.export.models.networks import hub_models

import edgefeat
import edgefeat_export
from edgefeat._bundle.golden import KERAS, read_golden
from edgefeat_bench._contenders.model_files import KERAS_MODEL, ModelFacts
from edgefeat_bench._setup.model_folder import model_folder


@pytest.fixture(scope="module")
def made(small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, edgefeat.Bundle]:
    """The folder of a small ViT's preset, and its bundle."""
    folder = tmp_path_factory.mktemp("hub_model")
    converter = {"image_size": (64, 64), "scale": 1 / 255, "offset": 0.5}  # no name of --preprocess says this
    preset = hub_models.save(hub_models.build("vit"), folder / "small_vit", **converter)
    edgefeat_export.export(f"hub:{preset}", folder / "bundle", variants=["tflite-float32"], calibration=small_photos)
    return preset, edgefeat.Bundle.open(folder / "bundle")


def test_the_model_of_a_preset_folder_has_the_features_of_the_bundle(
    made: tuple[Path, edgefeat.Bundle], small_photos: Path, tmp_path: Path
) -> None:
    preset, bundle = made
    folder = model_folder(bundle, tmp_path, files=[KERAS_MODEL], model=str(preset), calibration=str(small_photos))
    facts = ModelFacts.read(folder)
    assert facts.reason == ""
    assert facts.same_weights
    golden = read_golden(bundle)
    prepared = golden.pictures * np.float32(facts.scale[0]) + np.float32(facts.shift[0])
    found = keras.models.load_model(folder / KERAS_MODEL).predict(prepared, verbose=0)
    (expected,) = golden.features[KERAS].values()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_the_folder_the_reason_names_the_preset(
    made: tuple[Path, edgefeat.Bundle], small_photos: Path, tmp_path: Path
) -> None:
    facts = ModelFacts.read(model_folder(made[1], tmp_path, files=[], model="", calibration=str(small_photos)))
    assert "hub:small_vit is neither a preset" in facts.reason
    assert facts.remedy == "edgefeat-bench run --model FILE"
