"""Graph models of TensorFlow.js: operations, some of them fused, and a list of weights in `model.json`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tensorflow as tf
from click.testing import CliRunner
from tests.export.models.networks.converted_graphs import (
    FOLDER,
    KERNEL,
    converted_graph,
    edit,
    node,
    of_one_batch,
    reshaped,
    sides,
    whole,
)
from tests.export.models.networks.keras2_models import SIDE, close, outputs, pictures, randomized

import edgefeat_export
from edgefeat import ArgumentError, ExportError
from edgefeat_export._commands.layers import command as layers_command
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._spec import NetworkSpec

EXPECTED = {name: np.array(values) for name, values in json.loads((FOLDER / "outputs.json").read_text()).items()}
PIXELS = (np.arange(2 * 16 * 16 * 3) * 37 % 251).astype(np.uint8).reshape(2, 16, 16, 3)
LAYERS = ["photo", "scale", "first", "depthwise", "slope", "leaky", "bent", "sum", "pooled", "flatten", "hidden"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of the graph, to be changed."""
    return shutil.copytree(FOLDER, tmp_path / "net") / "model.json"


@pytest.mark.parametrize("path", [FOLDER, FOLDER / "model.json"], ids=["folder", "file"])
def test_a_graph_gives_what_tensorflowjs_gives(path: Path) -> None:
    close(outputs(whole(path), PIXELS), EXPECTED["classes"])


@pytest.mark.parametrize("layer", ["first", "depthwise", "slope", "leaky", "bent", "sum", "pooled", "hidden"])
def test_a_layer_gives_what_tensorflowjs_gives(layer: str) -> None:
    found = outputs(whole(FOLDER, layers=(layer,)), PIXELS)
    close(found.mean((1, 2)) if found.ndim == 4 else found, EXPECTED[layer])


def test_it_is_exported_in_both_formats_with_the_features_of_tensorflow(small_photos: Path, tmp_path: Path) -> None:
    """Its axes of a mean have 64 bits, as the converter writes them, which TFLite lacks."""
    made = edgefeat_export.export(
        FOLDER,
        tmp_path / "made.edgefeat",
        preprocess="raw",
        layers=["pooled"],
        calibration=small_photos,
        variants=["tflite-float32", "onnx-float32"],
    )
    for variant in made.bundle.manifest.variants:
        assert variant.fidelity["pooled"].minimum_cosine > 0.9999, variant.name


def test_layers_are_listed_with_their_costs() -> None:
    listed = {one.name: one for one in list_layers(NetworkSpec(str(FOLDER), weights="random")).layers}
    assert list(listed) == [*LAYERS, "classes_", "classes"]
    first = listed["first"]
    assert (first.kind, first.shape, first.parameters) == ("Conv2D", (8, 8, 6), 3 * 3 * 3 * 6 + 6)
    assert first.macs == 8 * 8 * 6 * 3 * 3 * 3
    result = CliRunner().invoke(layers_command, [str(FOLDER)])
    assert result.exit_code == 0, result.output
    assert "depthwise" in result.output


def test_the_graph_of_a_keras_model_gives_what_keras_gives(tmp_path: Path) -> None:
    """TensorFlow fuses the operations, and its converter for the browser writes them."""
    layers = keras.layers
    photo = keras.Input((SIDE, SIDE, 3), name="photo")
    x = layers.ReLU(6, name="relu")(layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="first")(photo)))
    x = layers.Conv2D(5, 3, activation="elu", name="second")(layers.DepthwiseConv2D(3, name="depthwise")(x))
    x = layers.Dense(7, activation="relu", name="hidden")(layers.GlobalAveragePooling2D(name="pooled")(x))
    model = randomized(keras.Model(photo, layers.Dense(3, activation="softmax", name="classes")(x)))
    path = converted_graph(model, tmp_path / "net")
    assert '"_FusedConv2D"' in path.read_text()
    close(outputs(whole(path), pictures()), model.predict(pictures().astype(np.float32), verbose=0))
    cut = keras.Model(model.inputs, model.get_layer("second").output)
    name = next(one.name for one in list_layers(whole(path, weights="random")).layers if "second" in one.name)
    close(outputs(whole(path, layers=(name,)), pictures()), cut.predict(pictures().astype(np.float32), verbose=0))


def test_a_graph_for_one_image_takes_any_number_and_can_be_cut(copy: Path) -> None:
    edit(copy, lambda content: sides(content, 1, 16, 16, 3))
    close(outputs(whole(copy), PIXELS), EXPECTED["classes"])
    close(outputs(whole(copy, layers=("pooled",)), PIXELS), EXPECTED["pooled"])


def test_a_graph_with_one_image_in_its_shapes_takes_any_number(copy: Path) -> None:
    edit(copy, lambda content: sides(content, 1, 16, 16, 3))
    edit(copy, lambda content: reshaped(content, [1, 2, 3], [1, 6]))
    close(outputs(whole(copy), PIXELS), EXPECTED["classes"])
    close(outputs(whole(copy, layers=("pooled",)), PIXELS), EXPECTED["pooled"])


def test_a_graph_that_joins_images_takes_them_one_by_one(copy: Path) -> None:
    edit(copy, lambda content: of_one_batch(content, 1))
    close(outputs(whole(copy), PIXELS), EXPECTED["classes"])
    with pytest.raises(ArgumentError, match="layer 'pooled' is not in"):
        build_trunk(whole(copy, layers=("pooled",)))


@pytest.mark.parametrize("layers", [(), ("pooled",)])
def test_images_of_any_size_are_accepted(layers: tuple[str, ...], copy: Path) -> None:
    edit(copy, lambda content: sides(content, -1, -1, -1, 3))
    expected = EXPECTED[layers[0] if layers else "classes"]
    close(outputs(whole(copy, size=(16, 16), layers=layers), PIXELS), expected)


def test_a_file_without_a_signature_is_enough(copy: Path) -> None:
    """Early converters wrote none."""
    edit(copy, lambda content: content.pop("signature"))
    close(outputs(whole(copy), PIXELS), EXPECTED["classes"])


def test_what_computes_nothing_is_no_output_of_a_file_without_a_signature(copy: Path) -> None:
    def change(content: Any) -> None:
        del content["signature"]
        unused = {"name": "unused", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}}
        content["modelTopology"]["node"] += [{"name": "init", "op": "NoOp"}, unused]

    close(outputs(whole(edit(copy, change)), PIXELS), EXPECTED["classes"])


def test_an_image_with_a_default_is_given(copy: Path) -> None:
    def change(content: Any) -> None:
        photo = node(content, "photo")
        photo |= {"op": "PlaceholderWithDefault", "input": ["net/hidden/bias"]}

    close(outputs(whole(edit(copy, change)), PIXELS), EXPECTED["classes"])


def test_a_folder_of_the_name_of_a_backbone_does_not_hide_it(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.parent.rename(tmp_path / "mobilenet_v2")
    monkeypatch.chdir(tmp_path)
    assert list_layers(NetworkSpec("mobilenet_v2", weights="random")).layers[1].name == "Conv1"
    assert [one.name for one in list_layers(NetworkSpec("mobilenet_v2/", weights="random", preprocess="raw")).layers][
        1
    ] == "scale"
    (tmp_path / "mobilenet_v2").rename("browser")
    with pytest.raises(ArgumentError, match=r"is unknown .*; for the folder of that name write browser/"):
        build_trunk(whole(Path("browser")))


def test_a_switch_for_training_is_left_at_its_default(copy: Path) -> None:
    def change(content: Any) -> None:
        shape: dict[str, Any] = {"shape": {"shape": {"dim": []}}}
        switch = {"name": "factor", "op": "PlaceholderWithDefault", "input": ["net/scale/mul/y"]}
        content["modelTopology"]["node"].append({**switch, "attr": {"dtype": {"type": "DT_FLOAT"}, **shape}})
        node(content, "net/scale/mul")["input"][1] = "factor"
        node(content, "net/scale/mul")["input"].append("^net/scale/sub/y")

    close(outputs(whole(edit(copy, change)), PIXELS), EXPECTED["classes"])


def test_quantized_weights_become_numbers_of_their_operations(copy: Path) -> None:
    values = np.fromfile(copy.parent / "group1-shard1of1.bin", "<f4")
    stored: list[bytes] = []

    def change(content: Any) -> None:
        start = 0
        for entry in content["weightsManifest"][0]["weights"]:
            size = int(np.prod(entry["shape"]))
            part, start = values[start : start + size], start + size
            if entry["dtype"] == "int32":  # of 1 byte, with a scale
                stored.append(part.view("<i4").astype(np.uint8).tobytes())
                entry["quantization"] = {"dtype": "uint8", "min": 0, "scale": 1.0, "original_dtype": "int32"}
            else:
                stored.append(part.astype("<f2").tobytes())
                entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}

    edit(copy, change)
    (copy.parent / "group1-shard1of1.bin").write_bytes(b"".join(stored))
    found = outputs(whole(copy), PIXELS)
    assert 0 < np.abs(found - EXPECTED["classes"]).max() < 2e-3


def test_fused_normalization_is_that_of_tensorflow(copy: Path) -> None:
    """TensorFlow fuses it; TensorFlow.js does not know it."""
    random = np.random.default_rng(0)
    kernel = np.fromfile(copy.parent / "group1-shard1of1.bin", "<f4")[2 : 2 + 3 * 3 * 3 * 6].reshape(3, 3, 3, 6)
    scale, offset, mean, variance = random.uniform(0.5, 1, (4, 6)).astype("<f4")

    def change(content: Any) -> None:
        fused = node(content, "net/first/Relu6")
        names = [f"net/first/{name}" for name in ("scale", "offset", "mean", "variance")]
        for name, value in zip(names, (scale, offset, mean, variance), strict=True):
            tensor = {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "6"}]}, "floatVal": value.tolist()}
            constant = {"dtype": {"type": "DT_FLOAT"}, "value": {"tensor": tensor}}
            content["modelTopology"]["node"].append({"name": name, "op": "Const", "attr": constant})
        fused["input"] = ["net/scale/sub", KERNEL, *names]
        fused["attr"]["fused_ops"]["list"]["s"] = ["RnVzZWRCYXRjaE5vcm0=", "UmVsdTY="]
        fused["attr"] |= {"num_args": {"i": "4"}, "epsilon": {"f": 0.25}}

    found = outputs(whole(edit(copy, change), layers=("first",)), PIXELS)
    convolved = tf.nn.conv2d(PIXELS / np.float32(127.5) - 1, kernel, 2, "SAME")
    close(found, tf.nn.relu6((convolved - mean) / np.sqrt(variance + 0.25) * scale + offset))


@pytest.mark.parametrize("layers", [(), ("pooled",)])
def test_the_arithmetic_before_the_network_is_said(layers: tuple[str, ...], copy: Path) -> None:
    """It may be for pixels from 0 to 255, or for those from 0 to 1."""
    with pytest.raises(ArgumentError, match=r"begins with pixels \* 0\.00784314 - 1, and wrong .* --preprocess raw"):
        build_trunk(whole(copy, preprocess=None, layers=layers))
    edit(copy, lambda content: node(content, "net/first/Relu6")["input"].__setitem__(0, "photo"))
    with pytest.raises(ArgumentError, match="is a graph that does not show how its pixels are scaled, and wrong"):
        build_trunk(whole(copy, preprocess=None, layers=layers))


def test_a_pointer_in_place_of_weights_is_named(copy: Path) -> None:
    (copy.parent / "group1-shard1of1.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ExportError, match=r"has, as group1-shard1of1\.bin, a Git LFS pointer"):
        build_trunk(whole(copy))
