"""Backbones of KerasHub, by folder and by file: their layers, and features as KerasHub's own model gives them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")
pytest.importorskip("keras_hub", reason="the extra hub is not installed")

import keras
import keras_hub
import onnx
import onnxruntime
from tests.conftest import LONG
from tests.export.models.networks import hub_models, hub_networks

import edgefeat
from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.tflite import conversion as tflite
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._network.network import build
from edgefeat_export._spec import NetworkSpec

SIDE = 32


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefeat", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def optimized(model: Path, target: Path) -> Counter[str]:
    """How often each operator is in the graph that onnxruntime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(target).graph.node)


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


@pytest.mark.parametrize("source", ["preset", pytest.param("file", marks=LONG)])
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
    fused = optimized(tmp_path / "b.edgefeat" / "onnx-float32.onnx", tmp_path / "optimized.onnx")
    assert (fused["BiasGelu"], fused["LayerNormalization"], fused["Erf"]) == (2, 5, 0)


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
    assert re.search(
        r"XNNPACK computes of tflite-float32 and tflite-dynamic \d+ of \d+ operators in 1 part", done.stderr
    )


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


@pytest.mark.parametrize("name", [pytest.param("mit", marks=LONG), "vit_det"])
def test_images_of_a_batch_stay_apart_where_windows_and_heads_join_it(name: str, tmp_path: Path) -> None:
    """SegFormer gives a dense layer the tokens of all images; ViTDet moves the batch behind Q, K and V."""
    model = hub_models.build(name)
    pictures = np.random.default_rng(2).integers(0, 256, (3, hub_networks.SIDE, hub_networks.SIDE, 3), np.uint8)
    preset = hub_models.save(model, tmp_path / name)
    network = build(build_trunk(NetworkSpec(f"hub:{preset}", preprocess="tf")), NetworkSpec("x"), pictures)
    tflite.float32(save_graph(network.model, [network.taps[0].name], tmp_path / "graph"), tmp_path / "model.tflite")
    to_onnx.float32(tmp_path / "model.tflite", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    maps = hub_models.own(model, pictures)
    expected = maps.reshape(3, -1, maps.shape[-1]).mean(1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(session.run(None, {"image": pictures})[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["efficientnet_lite", pytest.param("sam", marks=LONG), pytest.param("retinanet", marks=LONG), "clip"]
)
def test_the_trunk_is_kerashubs_own_image_part(name: str, tmp_path: Path) -> None:
    """EfficientNet names the shape of its images otherwise, SAM and CLIP have more inputs, RetinaNet is a pyramid."""
    model = hub_models.build(name)
    preset = hub_models.save(model, tmp_path / name)
    trunk = build_trunk(NetworkSpec(f"hub:{preset}", preprocess="tf", size=(64, 64)))
    pictures = np.random.default_rng(3).integers(0, 256, (2, 64, 64, 3), np.uint8)
    found = np.asarray(trunk.model(trunk.preprocess(pictures.astype(np.float32)), training=False))
    np.testing.assert_allclose(found, hub_models.own(model, pictures), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "offset", "named"),
    [
        (1 / 127.5, -1.0, "tf"),
        (1 / 255, None, "unit"),
        ([1 / 58.395, 1 / 57.12, 1 / 57.375], [-123.675 / 58.395, -116.28 / 57.12, -103.53 / 57.375], None),
        (1 / 255, 0.5, None),
    ],
)
def test_the_image_converter_becomes_the_preprocessing(
    scale: Any, offset: Any, named: str | None, tmp_path: Path
) -> None:
    """The network takes images of any size; the converter says which."""
    converter = {"image_size": (48, 64), "scale": scale, "offset": offset, "crop_to_aspect_ratio": True}
    trunk = build_trunk(NetworkSpec(f"hub:{hub_models.save(hub_models.build('resnet'), tmp_path, **converter)}"))
    assert (trunk.size, trunk.fit) == ((48, 64), "crop")
    assert named is None or trunk.preprocessing == named
    pictures = np.random.default_rng(4).integers(0, 256, (2, 48, 64, 3)).astype(np.float32)
    expected = np.asarray(keras_hub.layers.ImageConverter(**converter)(pictures))
    np.testing.assert_allclose(np.asarray(trunk.preprocess(pictures)), expected, atol=1e-4)
    assert "without antialiasing" in " ".join(trunk.notes)


def test_a_class_named_with_its_arguments_and_a_size() -> None:
    arguments = ["patch_size=16", "num_layers=1", "num_heads=2", "hidden_dim=8", "mlp_dim=16"]
    config = dict(argument.split("=") for argument in arguments)
    trunk = build_trunk(NetworkSpec("hub:ViT", weights="random", size=(48, 32), config=config))
    assert (trunk.size, trunk.model.outputs[0].shape[1:]) == ((48, 32), (7, 8))


def test_a_published_preset_is_built_without_a_network_and_has_its_published_size() -> None:
    """DeiT-Ti/16 has 5.5 M parameters without classifiers (Touvron et al., 2021)."""
    listed = json.loads(run("layers", "hub:deit_tiny_distilled_patch16_224_imagenet", "--json").stdout)
    last = listed["layers"][-1]
    assert (listed["height"], last["shape"]) == (224, [198, 192])
    assert last["cumulative_parameters"] == pytest.approx(5.5e6, rel=0.02)
    tokens, width = 198, 192
    block = 12 * tokens * width * width + 2 * tokens * tokens * width
    assert last["cumulative_macs"] == 12 * block + 196 * width * 16 * 16 * 3


@pytest.mark.parametrize(
    ("preset", "length", "parameters"),
    [
        ("clip_vit_base_patch32", 512, 87.8e6),
        pytest.param("siglip_base_patch16_224", 768, 92.9e6, marks=LONG),
    ],
)
def test_the_image_tower_of_a_published_preset_is_built_without_a_network(
    preset: str, length: int, parameters: float
) -> None:
    """87.8 M (Radford et al., 2021) and 92.9 M (Zhai et al., 2023) parameters are the sizes of the image towers."""
    trunk = build_trunk(NetworkSpec(f"hub:{preset}", weights="random"))
    assert trunk.size == (224, 224)
    assert trunk.model.outputs[0].shape[-1] == length
    assert trunk.model.count_params() == pytest.approx(parameters, rel=0.01)


def test_a_backbone_that_takes_no_image_is_refused(tmp_path: Path) -> None:
    text = keras_hub.models.BertBackbone(8, 1, 1, 8, 8, max_sequence_length=4)
    text.save_to_preset(str(tmp_path / "bert"))
    done = run("layers", f"hub:{tmp_path / 'bert'}")
    assert done.returncode == 2
    assert "BertBackbone takes padding_mask" in done.stderr


def test_a_saved_classifier_for_any_size_keeps_its_converter(tmp_path: Path) -> None:
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )
    assert backbone.inputs[0].shape == (None, None, None, 3)
    converter = keras_hub.layers.ResNetImageConverter(image_size=(48, 40), scale=1 / 127.5, offset=-1.0)
    preprocessor = keras_hub.models.ResNetImageClassifierPreprocessor(converter)
    task = keras_hub.models.ResNetImageClassifier(backbone=backbone, num_classes=3, preprocessor=preprocessor)
    task.save(tmp_path / "task.keras")
    trunk = build_trunk(NetworkSpec(str(tmp_path / "task.keras")))
    assert (trunk.preprocessing, trunk.size) == ("tf", (48, 40))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 48, 40, 3)).astype(np.float32)
    expected = np.asarray(task(pixels / 127.5 - 1))
    np.testing.assert_allclose(np.asarray(trunk.model(trunk.preprocess(pixels))), expected, rtol=1e-4, atol=1e-5)


def test_the_folder_of_a_preset_is_told_its_name(vit: tuple[Any, Path, Path]) -> None:
    _, preset, _ = vit
    with pytest.raises(edgefeat.ArgumentError, match=re.escape(f"name it hub:{preset}")):
        build_trunk(NetworkSpec(str(preset)))
