"""The cost table decides what is in a bundle, so that two exports agree byte for byte and both formats alike."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="needs the export extra")

from tests.conftest import LONG

import edgefeat
import edgefeat_export
from edgefeat import ArgumentError
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._measure.variants import ENGINES
from edgefeat_export._pipeline import ladder
from edgefeat_export._quantize.cost import operations
from edgefeat_export._quantize.cost.estimate import affordable_prefix, free_prefix, milliseconds
from edgefeat_export._quantize.cost.table import TABLES
from edgefeat_export._spec import parse_float_layers

INT8 = ("tflite-int8", "onnx-int8")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with a hard-swish and a squeeze-and-excite branch, saved by Keras."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    picture = keras.Input((64, 64, 3))
    features = layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_swish")(picture)
    for _ in range(3):
        wide = layers.Conv2D(32, 1, activation="hard_swish")(features)
        wide = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(wide)
        gate = layers.GlobalAveragePooling2D(keepdims=True)(wide)
        gate = layers.Conv2D(32, 1, activation="hard_sigmoid")(layers.Conv2D(8, 1, activation="relu")(gate))
        features = layers.Add()([features, layers.Conv2D(8, 1)(layers.Multiply()([wide, gate]))])
    path = tmp_path_factory.mktemp("model") / "gated.keras"
    keras.Model(picture, layers.Conv2D(16, 1, activation="relu", name="last")(features)).save(path)
    return path


@pytest.fixture(scope="module")
def bundles(model: Path, small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The network exported twice by the command with default options, in two processes."""
    folder = tmp_path_factory.mktemp("bundles")
    made = [folder / "first.edgefeat", folder / "second.edgefeat"]
    options = ["--preprocess", "tf", "--layer", "last", "--calibration", str(small_photos)]
    running = [
        subprocess.Popen([sys.executable, "-m", "edgefeat", "export", str(model), *options, "-o", str(path)])
        for path in made
    ]
    assert [process.wait() for process in running] == [0, 0]
    return made


@pytest.fixture(scope="module")
def named(model: Path, small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> edgefeat.Manifest:
    """The network exported in int8, which is asked for by name, without corrected weights."""
    path = tmp_path_factory.mktemp("named") / "int8.edgefeat"
    given: Any = {"preprocess": "tf", "layers": ["last"], "correction": ["mixed"], "calibration": small_photos}
    return edgefeat_export.export(model, path, variants=INT8, **given).bundle.manifest


def test_two_exports_agree_byte_for_byte(bundles: list[Path]) -> None:
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in bundles)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_an_int8_file_slower_than_float_is_left_out_with_both_estimates(bundles: list[Path]) -> None:
    manifest = edgefeat.Bundle.open(bundles[0]).manifest
    (refusal,) = manifest.refusals
    assert refusal.name == "onnx-int8"
    found = re.search(r"an estimated ([\d.]+) ms on onnxruntime .* onnx-float32 ([\d.]+) ms", refusal.reason)
    assert found is not None, refusal.reason
    assert float(found[1]) > 1.1 * float(found[2])
    assert "--variants onnx-int8" in refusal.reason
    assert refusal.reason in (bundles[0] / "README.md").read_text(encoding="utf-8")


def test_both_formats_have_the_same_float_parts_and_are_made_if_named(named: edgefeat.Manifest) -> None:
    first, second = named.variants
    assert (first.name, second.name) == INT8
    assert first.float_operations == second.float_operations != ()


def test_the_card_gives_the_interval_of_int8_around_its_mean(bundles: list[Path]) -> None:
    manifest = edgefeat.Bundle.open(bundles[0]).manifest
    (variant,) = [variant for variant in manifest.variants if variant.name == "tflite-int8"]
    text = (bundles[0] / "README.md").read_text(encoding="utf-8")
    found = re.search(r"tflite-int8, last: .* mean cosine ([\d.]+) to ([\d.]+), overlap@10 ([\d.]+) to ([\d.]+);", text)
    assert found is not None
    figures = variant.fidelity["last"]
    assert float(found[1]) <= round(figures.mean_cosine, 4) <= float(found[2])
    assert figures.overlap is not None
    assert float(found[3]) <= figures.overlap <= float(found[4])


def test_a_hard_swish_is_float_in_the_tflite_int8_file_and_reads_and_writes_int8(bundles: list[Path]) -> None:
    model = flatbuffer.read(bundles[0] / "tflite-int8.tflite")
    (graph,) = model.subgraphs
    kinds = [graph.tensors[one.outputs[0]].type for one in graph.operators if flatbuffer.op_code(model, one) == 117]
    assert set(kinds) == {0}  # FLOAT32
    assert {int(tensor.type) for tensor in graph.tensors} >= {0, 9}  # INT8: the rest is


def test_products_are_those_of_the_layers_definitions(bundles: list[Path]) -> None:
    graph = operations.count(bundles[0] / "tflite-float32.tflite")
    (first,) = [one for one in graph.operations if one.kind == "shallow"]
    # 32 x 32 positions, 3 x 3 x 3 inputs, 8 outputs in a register of 16; int8 takes 8 input channels at once.
    assert (first.float_products, first.int8_products) == (32 * 32 * 27 * 16, 32 * 32 * 9 * 8 * 16)
    depthwise = [one for one in graph.operations if one.kind == "depthwise"]
    assert [one.float_products for one in depthwise] == [32 * 32 * 9 * 32] * 3


@pytest.mark.parametrize("engine", TABLES)
def test_more_in_float_costs_what_the_table_says(bundles: list[Path], engine: str) -> None:
    graph = operations.count(bundles[0] / "tflite-float32.tflite")
    everything = range(len(graph.operations))
    assert milliseconds(graph, engine, everything) == pytest.approx(milliseconds(graph, engine, None))
    assert min(TABLES[engine].values()) >= 0
    # One section per operator: no number that costs more than none is chosen, and none that costs more than asked.
    count = free_prefix(graph, [[index] for index in everything])
    assert milliseconds(graph, engine, range(count)) <= milliseconds(graph, engine, [])
    for times in (0.5, 1.0, 1.05, 50.0):
        count = affordable_prefix(graph, [[index] for index in everything], {engine: times})
        assert count == 0 or milliseconds(graph, engine, range(count)) * times <= milliseconds(graph, engine, None)
    assert affordable_prefix(graph, [[index] for index in everything], {engine: 0.5}) == len(everything)


def test_windows_over_many_channels_are_faster_in_int8(small_photos: Path, tmp_path: Path) -> None:
    """As in VGG, ResNet and Inception: on this kind of processor VGG16 takes a third of the time in int8."""
    import keras

    picture = keras.Input((64, 64, 3))
    features = picture
    for index in range(3):
        features = keras.layers.Conv2D(64, 3, padding="same", activation="relu", name=f"conv{index}")(features)
    keras.Model(picture, features).save(tmp_path / "plain.keras")
    given: Any = {"preprocess": "tf", "layers": ["conv2"], "calibration": small_photos, "variants": ["tflite-float32"]}
    edgefeat_export.export(tmp_path / "plain.keras", tmp_path / "plain.edgefeat", **given)
    graph = operations.count(tmp_path / "plain.edgefeat" / "tflite-float32.tflite")
    assert [one.kind for one in graph.operations if one.float_products] == ["shallow", "spatial", "spatial"]
    for engine in TABLES:
        assert milliseconds(graph, engine, []) < 0.9 * milliseconds(graph, engine, None), engine


def test_float_layers_are_given_by_number_and_format(model: Path, small_photos: Path, tmp_path: Path) -> None:
    assert parse_float_layers("auto") is None
    assert parse_float_layers("3") == {"tflite": 3, "onnx": 3}
    assert parse_float_layers("onnx=2") == {"tflite": 0, "onnx": 2}
    for wrong in ("-1", "tflite", "openvino=2", "1,2", ""):
        with pytest.raises(ArgumentError, match="allowed: auto, a number"):
            parse_float_layers(wrong)
    given: Any = {"preprocess": "tf", "layers": ["last"], "correction": ["mixed"], "calibration": small_photos}
    given |= {"float_layers": "tflite=1,onnx=2", "variants": INT8}
    manifest = edgefeat_export.export(model, tmp_path / "own.edgefeat", **given).bundle.manifest
    few, more = (variant.float_operations for variant in manifest.variants)
    assert 0 < len(few) < len(more)


def saved_network(path: Path, activation: str) -> Path:
    """A network that is much faster in int8, by the cost table, saved by Keras."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    picture = keras.Input((64, 64, 3))
    features = layers.Conv2D(32, 3, strides=2, padding="same", activation=activation)(picture)
    for _ in range(3):
        wide = layers.Conv2D(128, 1, activation=activation)(features)
        wide = layers.DepthwiseConv2D(3, padding="same", activation=activation)(wide)
        features = layers.Add()([features, layers.Conv2D(32, 1)(wide)])
    keras.Model(picture, layers.Conv2D(64, 1, activation="relu", name="last")(features)).save(path)
    return path


@LONG
def test_what_int8_gains_in_speed_is_spent_on_first_layers_in_float_until_it_is_near(
    small_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swishes = saved_network(tmp_path / "swishes.keras", "swish")

    def exported(name: str, *variants: str) -> dict[str, Any]:
        given: Any = {"preprocess": "tf", "layers": ["last"], "calibration": small_photos}
        made = edgefeat_export.export(swishes, tmp_path / name, variants=variants, **given)
        return {one.name: one for one in made.bundle.manifest.variants}

    plain = exported("plain.edgefeat", "tflite-int8")["tflite-int8"]
    assert plain.fidelity["last"].mean_cosine > ladder._NEAR_CURVED
    monkeypatch.setattr(ladder, "_NEAR_CURVED", 1.0)  # this network, with swishes, is near at once
    near = exported("near.edgefeat", *INT8)
    assert len(plain.float_operations) < len(near["tflite-int8"].float_operations)
    assert plain.fidelity["last"].mean_cosine < near["tflite-int8"].fidelity["last"].mean_cosine < 1
    assert near["tflite-int8"].float_operations == near["onnx-int8"].float_operations


@pytest.mark.parametrize("figure", ["_WORTH", pytest.param("_WORTH_LEAST", marks=LONG)])
def test_with_swish_an_int8_file_that_is_not_near_is_written_only_if_it_is_asked_for(
    figure: str, small_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, figure, 1.0)
    network = saved_network(tmp_path / "network.keras", "swish")
    given: Any = {"preprocess": "tf", "layers": ["last"], "calibration": small_photos}
    made = edgefeat_export.export(network, tmp_path / "made.edgefeat", **given).bundle.manifest
    assert not any(one.name in INT8 for one in made.variants)
    assert [one.name for one in made.refusals] == [*INT8]
    for one in made.refusals:
        form = one.name.partition("-")[0]
        said = r"its mean cosine is [01]\.\d{4} and its minimum [01]\.\d{4} \(with curves such as swish: .*\) at an"
        times = rf"estimated [\d.]+ ms on {ENGINES[form]} and one thread, where {form}-float32 takes [\d.]+ ms;"
        assert re.search(f"{said} {times}", one.reason), one.reason
        assert f"--variants {one.name}; " in one.reason

    asked = edgefeat_export.export(network, tmp_path / "asked.edgefeat", variants=["tflite-int8"], **given)
    assert [one.name for one in asked.bundle.manifest.variants] == ["tflite-int8"]


def test_without_swish_the_lower_mean_cosine_is_near_enough(
    small_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "_NEAR", 0.0)
    monkeypatch.setattr(ladder, "_NEAR_CURVED", 1.0)
    monkeypatch.setattr(ladder, "EXTEND_EARLY_SECTIONS", None)  # a step that cannot run
    network = saved_network(tmp_path / "network.keras", "relu")
    given: Any = {"preprocess": "torch", "layers": ["last"], "calibration": small_photos}
    made = edgefeat_export.export(network, tmp_path / "made.edgefeat", variants=["tflite-int8"], **given)
    assert [one.name for one in made.bundle.manifest.variants] == ["tflite-int8"]


def test_random_weights_keep_the_speed(small_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "_NEAR", 1.0)
    monkeypatch.setattr(ladder, "EXTEND_EARLY_SECTIONS", None)  # a step that cannot run
    given: Any = {"alpha": 0.25, "weights": "random", "input_size": 32, "layers": ["conv_pw_3_relu"]}
    given |= {"calibration": small_photos, "min_fidelity": 0.3, "variants": ["tflite-float32", "tflite-int8"]}
    made = edgefeat_export.export("mobilenet", tmp_path / "random.edgefeat", **given)
    assert [one.name for one in made.bundle.manifest.variants] == ["tflite-float32", "tflite-int8"]
