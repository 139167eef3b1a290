"""Backbones of KerasHub, by folder and by file: their layers, and features as KerasHub's own model gives them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")
pytest.importorskip("keras_hub", reason="the extra hub is not installed")

import keras
import keras_hub

import edgefeat

SIDE = 32


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefeat", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    """A small ViT, its folder as a preset with an image converter, and the file of the backbone alone."""
    folder = tmp_path_factory.mktemp("hub")
    keras.utils.set_random_seed(5)
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(SIDE, SIDE, 3), patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    converter = keras_hub.layers.ViTImageConverter(image_size=(SIDE, SIDE), scale=1 / 127.5, offset=-1.0)
    preprocessor = keras_hub.models.ViTImageClassifierPreprocessor(converter)
    task = keras_hub.models.ViTImageClassifier(backbone=backbone, num_classes=3, preprocessor=preprocessor)
    task.save_to_preset(str(folder / "small_vit"))
    backbone.save(folder / "vit.keras")
    return backbone, folder / "small_vit", folder / "vit.keras"


@pytest.mark.parametrize("source", ["preset", "file"])
def test_features_are_those_of_kerashubs_model(
    vit: tuple[Any, Path, Path], source: str, small_photos: Path, tmp_path: Path
) -> None:
    backbone, preset, file = vit
    named = [f"hub:{preset}"] if source == "preset" else [file, "--preprocess", "tf"]
    named += ["--calibration", small_photos, "--variants", "tflite-float32,onnx-float32"]
    done = run("export", *named, "-o", tmp_path / "b.edgefeat")
    assert done.returncode == 0, done.stderr
    assert "pooled by cls" in done.stderr
    pictures = np.random.default_rng(1).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
    tokens = backbone.predict(pictures / np.float32(127.5) - 1, verbose=0)[:, 0]
    expected = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
    for variant in ("tflite-float32", "onnx-float32"):
        (found,) = edgefeat.load(tmp_path / "b.edgefeat", variant=variant).run(pictures)
        assert (found * expected).sum(1).min() > 0.9999


def test_int8_of_a_transformer_is_that_of_its_dense_layers(
    vit: tuple[Any, Path, Path], small_photos: Path, tmp_path: Path
) -> None:
    done = run("export", f"hub:{vit[1]}", "--calibration", small_photos, "-o", tmp_path / "b.edgefeat")
    assert done.returncode == 0, done.stderr
    manifest = edgefeat.Bundle.open(tmp_path / "b.edgefeat").manifest
    (made,) = [variant for variant in manifest.variants if variant.precision == "int8"]
    assert (made.name, made.correction) == ("onnx-int8", ("dense layers, static",))
    (refused,) = manifest.refusals
    assert refused.name == "tflite-int8"
    assert "only if it is named" in refused.reason
    assert " ms" not in refused.reason  # a clock's figure would differ from export to export
    assert re.search(r"tflite-dynamic takes [\d.]+ ms here", done.stderr)


def test_blocks_are_listed_with_the_work_of_attention(vit: tuple[Any, Path, Path]) -> None:
    listed = json.loads(run("layers", f"hub:{vit[1]}", "--json").stdout)
    (block,) = [layer for layer in listed["layers"] if layer["name"] == "transformer_block_1"]
    tokens, width, between = 5, 16, 32
    dense = 4 * tokens * width * width + 2 * tokens * width * between
    assert block["shape"] == [tokens, width]
    assert block["macs"] == dense + 2 * tokens * tokens * width


def test_what_kerashub_does_not_know_is_refused_with_similar_names() -> None:
    done = run("layers", "hub:vit_base_patch16_224_imagnet")
    assert done.returncode == 2
    assert "is neither a preset, a folder nor a class of KerasHub" in done.stderr
    assert "vit_base_patch16_224_imagenet" in done.stderr
