"""Graph models of TensorFlow.js: operations, some of them fused, and a list of weights in `model.json`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tensorflow as tf
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.models.networks.converted_graphs import converted_graph
from tests.export.models.networks.keras2_models import SIDE, close, outputs, pictures, randomized, spec_of

import edgefeat_export
from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._commands.layers import command as layers_command
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._spec import NetworkSpec

#: A graph with every kind of fused operation, and what TensorFlow.js computes with it (make.mjs).
FOLDER = Path(__file__).parents[2] / "data" / "tensorflowjs_graph"
EXPECTED = {name: np.array(values) for name, values in json.loads((FOLDER / "outputs.json").read_text()).items()}
PIXELS = (np.arange(2 * 16 * 16 * 3) * 37 % 251).astype(np.uint8).reshape(2, 16, 16, 3)
LAYERS = ["photo", "scale", "first", "depthwise", "slope", "leaky", "bent", "sum", "pooled", "flatten", "hidden"]
KERNEL = "net/first/kernel"


def whole(path: Path, **options: Any) -> NetworkSpec:
    return spec_of(path, **{"preprocess": "raw"} | options)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of the graph, to be changed."""
    return shutil.copytree(FOLDER, tmp_path / "net") / "model.json"


def edit(path: Path, change: Callable[[Any], Any]) -> Path:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def node(content: Any, name: str) -> Any:
    return next(one for one in content["modelTopology"]["node"] if one["name"] == name)


def weight(content: Any, name: str) -> Any:
    return next(one for one in content["weightsManifest"][0]["weights"] if one["name"] == name)


def sides(content: Any, *values: int) -> None:
    """Set the shape of the input, in the graph and in its signature."""
    shape = {"dim": [{"size": str(value)} for value in values]}
    node(content, "photo")["attr"]["shape"]["shape"] = shape
    content["signature"]["inputs"]["photo"]["tensorShape"] = shape


def reshaped(content: Any, *shapes: list[int]) -> None:
    """Let the graph change the shape of its features to each of these in turn."""
    nodes = content["modelTopology"]["node"]
    tensor = "net/pooled/Mean"
    for place, shape in enumerate(shapes):
        values = {"dtype": "DT_INT32", "tensorShape": {"dim": [{"size": str(len(shape))}]}, "intVal": shape}
        attributes = {"dtype": {"type": "DT_INT32"}, "value": {"tensor": values}}
        name = f"net/flatten/Reshape_{place}"
        nodes.append({"name": f"{name}/shape", "op": "Const", "attr": attributes})
        nodes.append({**node(content, "net/flatten/Reshape"), "name": name, "input": [tensor, f"{name}/shape"]})
        tensor = name
    node(content, "net/hidden/Relu")["input"][0] = tensor


def of_one_batch(content: Any, count: int) -> None:
    """Let the graph take `count` images at once, and no other number."""
    sides(content, count, 16, 16, 3)
    reshaped(content, [6 * count], [count, 6])


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


def second_input(content: Any) -> None:
    other = node(content, "photo") | {"name": "mask"}
    content["modelTopology"]["node"].append(other)
    node(content, "net/scale/sub")["input"][1] = "mask"


def replaced(name: str, kind: str) -> Callable[[Any], None]:
    """Return a change of a node's operation."""
    return lambda content: node(content, name).update(op=kind)


def fusing(kind: str) -> Callable[[Any], None]:
    """Return a change of what a convolution is fused with, in base64."""
    return lambda content: node(content, "net/first/Relu6")["attr"]["fused_ops"]["list"].update(s=[kind])


ERRORS: list[tuple[str, Callable[[Any], Any]]] = [
    ("its files of weights have 2772 bytes instead of", lambda c: weight(c, KERNEL).update(shape=[3, 3, 3, 7])),
    ("the list of its weights is damaged", lambda c: weight(c, KERNEL).update(shape="x")),
    ("the list of its weights is damaged", lambda c: c.pop("weightsManifest")),
    ("are of type string", lambda c: weight(c, KERNEL).update(dtype="string")),
    (f"it lists no weights for '{KERNEL}'", lambda c: weight(c, KERNEL).update(name="other")),
    ("it lists the weights 'net/first/bias' twice", lambda c: weight(c, KERNEL).update(name="net/first/bias")),
    (
        "the weights 'net/pooled/axes' are float32 (allowed: int32, the type of their operation)",
        lambda c: weight(c, "net/pooled/axes").update(dtype="float32"),
    ),
    ("takes 2 inputs, photo, mask (allowed: one image)", second_input),
    ("takes no input (allowed: one image)", replaced("photo", "Const")),
    ("uses ReadFile (allowed: arithmetic", replaced("net/bent/add", "ReadFile")),
    ("decides or repeats what it computes, by While (allowed", replaced("net/sum/add", "While")),
    ("fuses BiasAdd2, which is not known (allowed: BiasAdd", fusing("Qmlhc0FkZDI=")),
    ("takes 3 tensors, which do not fit what it fuses", fusing("UmVsdQ==")),
    ("its graph has no operation 'nothing'", lambda c: c["signature"]["outputs"]["classes"].update(name="nothing:0")),
    ("cannot be loaded by TensorFlow", lambda c: node(c, "net/sum/add")["input"].pop()),
    ("the description of its graph is damaged", lambda c: node(c, "photo").update(attr=5)),
    ("takes 4 images at once (allowed: 1, or any number)", lambda c: of_one_batch(c, 4)),
]


@pytest.mark.parametrize(("message", "change"), ERRORS, ids=[message for message, _ in ERRORS])
def test_what_is_wrong_with_the_files_is_said(message: str, change: Callable[[Any], Any], copy: Path) -> None:
    with pytest.raises(EdgefeatError) as caught:
        build_trunk(whole(edit(copy, change)))
    said = str(caught.value)
    assert message in said
    assert str(copy) in said
    assert "\n" not in said


def test_a_missing_file_of_weights_is_named(copy: Path) -> None:
    (copy.parent / "group1-shard1of1.bin").unlink()
    with pytest.raises(ExportError, match=r"is incomplete: group1-shard1of1\.bin, with its weights, is missing"):
        build_trunk(whole(copy))


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    weights = copy.parent / "group1-shard1of1.bin"
    weights.write_bytes(weights.read_bytes()[:8] + np.float32(np.nan).tobytes() + weights.read_bytes()[12:])
    with pytest.raises(ExportError, match=f"the weights '{KERNEL}' contain values that are not finite numbers"):
        build_trunk(whole(copy))


def test_options_for_layers_are_refused(copy: Path) -> None:
    with pytest.raises(ArgumentError, match="is used with its saved weights: leave --weights out"):
        build_trunk(whole(copy, weights="other.h5"))
    with pytest.raises(ArgumentError, match="has operations instead of layers: leave --skip-layer out"):
        build_trunk(whole(copy, skipped=("first",)))


@pytest.mark.parametrize("layers", [(), ("pooled",)])
def test_the_arithmetic_before_the_network_is_said(layers: tuple[str, ...], copy: Path) -> None:
    """It may be for pixels from 0 to 255, or for those from 0 to 1, as in TensorFlow Hub."""
    with pytest.raises(ArgumentError, match=r"begins with pixels \* 0\.00784314 - 1, and wrong .* --preprocess raw"):
        build_trunk(whole(copy, preprocess=None, layers=layers))
    edit(copy, lambda content: node(content, "net/first/Relu6")["input"].__setitem__(0, "photo"))
    with pytest.raises(ArgumentError, match="does not scale its own pixels, and wrong"):
        build_trunk(whole(copy, preprocess=None, layers=layers))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_change_of_the_file_is_loaded_or_one_clear_error(data: st.DataObject, tmp_path_factory: Any) -> None:
    path = shutil.copytree(FOLDER, tmp_path_factory.mktemp("changed") / "net") / "model.json"
    content = json.loads(path.read_text())
    place: Any = content[data.draw(st.sampled_from(["modelTopology", "signature", "weightsManifest"]))]
    while isinstance(place, dict | list) and place:
        parent = place
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        place = place[key]
        if data.draw(st.integers(0, 3)) == 0:
            break
    values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
    parent[key] = data.draw(values)
    path.write_text(json.dumps(content))
    try:
        build_trunk(whole(path))
        said = ""
    except EdgefeatError as error:
        said = str(error)
    assert "\n" not in said
