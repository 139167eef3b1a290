"""Features of length zero, and the background of transparent images, from the export to every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import edgefeat
import edgefeat_export
from edgefeat._engines.selection import candidates
from edgefeat_export._commands.export import command


@pytest.fixture(scope="module")
def bundle(small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a network without biases and preprocessing: black images give zeros, nearly black ones nearly zeros."""
    folder = tmp_path_factory.mktemp("degenerate")
    keras.utils.set_random_seed(3)
    layers = keras.layers
    picture = keras.Input((32, 32, 3))
    features = layers.Conv2D(8, 3, strides=2, use_bias=False, activation="relu", name="stem")(picture)
    features = layers.ReLU(name="last")(layers.Conv2D(12, 3, strides=2, use_bias=False)(features))
    keras.Model(picture, features).save(folder / "degenerate.keras")
    output = folder / "degenerate.edgefeat"
    options: dict[str, Any] = {"preprocess": "raw", "background": "#10C040", "calibration": small_photos}
    edgefeat_export.export(folder / "degenerate.keras", output, **options)
    return output


def test_a_feature_of_no_length_is_zero_in_every_variant_and_engine(bundle: Path) -> None:
    colours = ((0, 0, 0), (1, 0, 0), (255, 255, 255), (0, 0, 255), (127, 127, 127))
    pictures = [np.full((32, 32, 3), colour, np.uint8) for colour in colours]
    expected = np.asarray(edgefeat.load(bundle, variant="onnx-float32").extract(pictures))
    for choice in candidates(edgefeat.Bundle.open(bundle)):
        extractor = edgefeat.load(bundle, variant=choice.variant.name, engine=choice.engine.name)
        features = np.asarray(extractor.extract(pictures))
        assert np.isfinite(features).all(), (choice.variant.name, choice.engine.name)
        assert not features[0].any(), (choice.variant.name, choice.engine.name)
        if choice.variant.precision == "float32":
            np.testing.assert_allclose(features, expected, atol=1e-5)


def test_a_tiny_feature_has_the_length_that_keras_gives_it(bundle: Path, small_photos: Path, tmp_path: Path) -> None:
    model = keras.models.load_model(bundle.with_name("degenerate.keras"))
    model.layers[-2].set_weights([weights * 1e-9 for weights in model.layers[-2].get_weights()])
    model.save(tmp_path / "tiny.keras")
    output = tmp_path / "tiny.edgefeat"
    options: dict[str, Any] = {
        "preprocess": "raw",
        "variants": ["tflite-float32", "onnx-float32"],
        "calibration": small_photos,
    }
    edgefeat_export.export(tmp_path / "tiny.keras", output, **options)
    picture = np.random.default_rng(1).integers(0, 30, (32, 32, 3), np.uint8)
    pooled = np.asarray(model(picture[np.newaxis].astype(np.float32))).mean(axis=(1, 2))[0]
    expected = pooled / np.sqrt(max(float((pooled.astype(np.float64) ** 2).sum()), 1e-12))
    assert 1e-4 < np.linalg.norm(expected) < 0.9  # below it the length would be 1 by definition
    for choice in candidates(edgefeat.Bundle.open(output)):
        extractor = edgefeat.load(output, variant=choice.variant.name, engine=choice.engine.name)
        np.testing.assert_allclose(np.asarray(extractor.extract(picture)), expected, rtol=1e-3, atol=1e-6)


def test_the_background_asked_for_is_the_one_of_the_device(bundle: Path) -> None:
    extractor = edgefeat.load(bundle)
    assert extractor.bundle.manifest.picture.transparency == "#10c040"
    assert "#10c040" in (bundle / "README.md").read_text()
    assert extractor.prepare(Image.new("RGBA", (40, 30), (255, 255, 255, 0)))[3, 4].tolist() == [0x10, 0xC0, 0x40]


def test_a_background_that_is_no_colour_is_wrong_use(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["mobilenet_v2", "--background", "greenish", "-o", str(tmp_path / "x.edgefeat")])
    assert isinstance(done.exception, edgefeat.ArgumentError)
    assert "background 'greenish' (allowed: white, black or a colour as #rrggbb)" in str(done.exception)
