"""The cost of a cut: figures compared with independent counts, the command, and the size of the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import onnx
import tensorflow as tf
from keras import layers
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edgefeat import ArgumentError
from edgefeat._commands.main import main
from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.tflite import conversion as tflite
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._network.cut import cut, layer_names
from edgefeat_export._network.layers import costs, list_layers
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._network.network import build
from edgefeat_export._spec import NetworkSpec

SIZE = 32


@pytest.fixture(autouse=True)
def seed() -> None:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)


#: Input shape and layer, padding nothing: then the sum of its output for ones, with a kernel of ones, is its MACs.
COUNTABLE: list[tuple[tuple[int, ...], Callable[[], keras.Layer]]] = [
    ((9, 8, 6), lambda: layers.Conv2D(4, (3, 2), strides=2)),
    ((9, 8, 6), lambda: layers.Conv2D(4, 3, groups=2)),
    ((9, 8, 6), lambda: layers.Conv2D(4, 3, dilation_rate=2, use_bias=False)),
    ((9, 8, 6), lambda: layers.DepthwiseConv2D((3, 2), depth_multiplier=2)),
    ((9, 8, 6), lambda: layers.Conv2DTranspose(4, (3, 2), strides=2)),
    ((9, 8, 6), lambda: layers.Dense(5)),
    ((30,), lambda: layers.Dense(5)),
]


@pytest.mark.parametrize(("shape", "make"), COUNTABLE)
def test_macs_are_the_products_that_a_layer_adds_up(shape: tuple[int, ...], make: Callable[[], keras.Layer]) -> None:
    layer = make()
    source = keras.Input(shape)
    model = keras.Model(source, layer(source))
    kernel, *bias = layer.get_weights()
    layer.set_weights([np.ones_like(kernel), *map(np.zeros_like, bias)])
    products = np.asarray(model(np.ones((1, *shape), np.float32))).sum()
    assert costs(model)[-1].macs == products > 0
    assert costs(model)[-1].parameters == sum(weight.size for weight in layer.get_weights())


def test_a_separable_convolution_costs_what_its_two_parts_do() -> None:
    source = keras.Input((9, 8, 6))
    whole = keras.Model(source, layers.SeparableConv2D(7, 3, strides=2, depth_multiplier=2)(source))
    x = layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, use_bias=False)(source)
    parts = keras.Model(source, layers.Conv2D(7, 1)(x))
    assert costs(whole)[-1].macs == costs(parts)[-1].cumulative_macs
    assert costs(whole)[-1].parameters == costs(parts)[-1].cumulative_parameters


def test_mobilenet_costs_what_tensorflows_profiler_counts() -> None:
    model = keras.applications.MobileNetV2(alpha=0.35, weights=None, input_shape=(96, 96, 3))
    function = tf.function(lambda image: model(image, training=False))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(tf.TensorSpec((1, 96, 96, 3))))
    profiler = tf.compat.v1.profiler
    options = {**profiler.ProfileOptionBuilder.float_operation(), "output": "none"}
    node = profiler.profile(frozen.graph, cmd="op", options=options)
    operations = 0
    while node.children:  # each holds what comes behind it
        (node,) = node.children
        behind = sum(child.total_float_ops for child in node.children)
        operations += (node.total_float_ops - behind) * (node.name in ("Conv2D", "DepthwiseConv2dNative", "MatMul"))
    assert costs(model)[-1].cumulative_macs * 2 == operations > 0


@pytest.mark.parametrize(
    ("factory", "parameters", "macs"),
    [
        (keras.applications.MobileNetV2, 3_538_984, 300e6),  # Sandler and others, 2018, table 4: 3.4 M, 300 M
        (keras.applications.ResNet50, 25_636_712, 3.8e9),  # He and others, 2015, table 1: 3.8 G
        (keras.applications.VGG16, 138_357_544, 15.5e9),  # Simonyan and Zisserman, 2014, table 2: 138 M
    ],
)
def test_known_backbones_cost_what_was_published(factory: Callable[..., Any], parameters: int, macs: float) -> None:
    last = costs(factory(weights=None))[-1]
    assert last.cumulative_parameters == parameters
    assert last.cumulative_macs == pytest.approx(macs, rel=0.02)


def branched(side: int | None) -> keras.Model:
    """Branches, an inner model, one that is called twice and a layer that is shared."""
    source = keras.Input((side, side, 8))
    inner = keras.Model(source, layers.Conv2D(8, 3, name="out")(layers.Conv2D(8, 1, name="in")(source)), name="inner")
    picture = keras.Input((SIZE, SIZE, 3))
    stem = layers.Conv2D(8, 3, name="stem")(picture)
    shared = layers.Conv2D(8, 1, name="shared")
    left = shared(inner(stem))
    right = inner(layers.BatchNormalization(name="norm")(shared(stem)))
    joined = layers.Add(name="joined")([left, right * 2.0])
    return keras.Model(picture, layers.Dense(4, name="classes")(layers.Flatten(name="flat")(joined)), name="branched")


@pytest.mark.parametrize("side", [SIZE - 2, None])
def test_cumulative_figures_are_those_of_the_cut(side: int | None) -> None:
    whole = branched(side)
    listed = costs(whole)
    assert [layer.name for layer in listed] == list(layer_names(whole))
    for layer in listed:
        trunk, _ = cut(whole, [layer.name])
        assert layer.shape == trunk.outputs[0].shape[1:], layer.name
        assert layer.cumulative_parameters == trunk.count_params(), layer.name
        assert layer.cumulative_macs == costs(trunk)[-1].cumulative_macs, layer.name


def test_cumulative_figures_leave_out_other_branches_and_count_every_call() -> None:
    by_name = {layer.name: layer for layer in costs(branched(SIZE - 2))}
    pixels, inner_pixels = 30 * 30, 28 * 28
    stem, shared, inner = pixels * 27 * 8, pixels * 64, pixels * 64 + inner_pixels * 9 * 64
    assert by_name["norm"].cumulative_macs == stem + shared
    assert by_name["inner"].macs == inner
    assert by_name["inner"].cumulative_macs == stem + shared + inner
    # The shared layer's last call in the graph stands behind the inner model, or the other way round: both are called.
    assert by_name["joined"].cumulative_macs == stem + shared + inner + inner + inner_pixels * 64
    weights = [by_name[name].parameters for name in ("stem", "shared", "inner", "norm")]
    assert by_name["joined"].cumulative_parameters == sum(weights)


def test_the_command_lists_a_backbone_with_its_classifier(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", "MobileNetV2", "--alpha", "0.35", "--input-size", "96x64", "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    listed = json.loads(out)
    assert (listed["backbone"], listed["height"], listed["width"]) == ("mobilenet_v2", 96, 64)
    whole = keras.applications.MobileNetV2(alpha=0.35, weights=None, input_shape=(96, 64, 3))
    assert [layer["name"] for layer in listed["layers"]] == list(layer_names(whole))
    assert [layer["name"] for layer in listed["layers"] if layer["top"]] == ["global_average_pooling2d", "predictions"]
    (last,) = [layer for layer in listed["layers"] if layer["name"] == "out_relu"]
    assert last["shape"] == [3, 2, 1280]
    assert last["cumulative_parameters"] == 410208
    assert listed["layers"][-1]["cumulative_parameters"] == whole.count_params()


def test_the_command_lists_a_saved_model_as_a_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = branched(None)
    whole.save(tmp_path / "mine.keras")
    capfd.readouterr()  # TensorFlow's own lines, if it is used here for the first time
    assert main(["layers", str(tmp_path / "mine.keras")]) == 0
    out, err = capfd.readouterr()
    title, header, *rows = out.splitlines()
    assert err == ""
    assert title == "mine at 32x32"
    assert header.split("  ")[0] == "layer"
    assert [row.split()[0] for row in rows] == list(layer_names(whole))
    (row,) = [row for row in rows if row.startswith("inner/out ")]
    assert row.split()[1:4] == ["Conv2D", "28x28x8", "584"]


@pytest.mark.parametrize(
    ("backbone", "size", "said"),
    [("vgg61", None, "backbone 'vgg61' is unknown"), ("vgg16", (8, 8), "vgg16 does not accept images of 8x8")],
)
def test_what_does_not_exist_is_not_listed(backbone: str, size: tuple[int, int] | None, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        list_layers(NetworkSpec(backbone, size=size))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vgg16", "--input-size", "8"], "vgg16 does not accept images of 8x8"),
        (["vgg16", "--input-size", "huge"], "input size 'huge'"),
    ],
)
def test_what_cannot_be_listed_is_wrong_use(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("edgefeat: ")
    assert said in err
    assert err.endswith("\n  see docs/reference/errors.md\n")
    assert err.count("\n") == 2


@dataclass(frozen=True)
class Files:
    """How large the float32 files of a network are: bytes, operators and weights of each format."""

    size: dict[str, int]
    operators: dict[str, int]
    weights: dict[str, int]


def measured(saved: Path, taps: tuple[str, ...], folder: Path) -> Files:
    """Convert a saved model, cut at some layers, as the export does."""
    spec = NetworkSpec(str(saved), preprocess="raw", layers=taps)
    network = build(build_trunk(spec), spec, np.zeros((1, SIZE, SIZE, 3), np.uint8))
    graph = save_graph(network.model, [tap.name for tap in network.taps], folder / "graph")
    paths = {form: folder / f"model.{form}" for form in ("tflite", "onnx")}
    tflite.float32(graph, paths["tflite"])
    to_onnx.float32(paths["tflite"], paths["onnx"])
    return counted(paths)


def counted(paths: dict[str, Path]) -> Files:
    model, network = flatbuffer.read(paths["tflite"]), onnx.load(paths["onnx"]).graph
    (graph,) = model.subgraphs
    constants = [flatbuffer.constant(model, tensor) for tensor in graph.tensors]
    return Files(
        size={form: path.stat().st_size for form, path in paths.items()},
        operators={"tflite": len(graph.operators), "onnx": len(network.node)},
        weights={
            "tflite": sum(len(constant) // 4 for constant in constants if constant is not None),
            "onnx": sum(int(np.prod(tensor.dims)) for tensor in network.initializer),
        },
    )


def test_what_lies_behind_the_last_cut_is_gone_from_the_files(tmp_path: Path) -> None:
    picture = keras.Input((SIZE, SIZE, 3))
    options: dict[str, Any] = {"activation": "relu", "bias_initializer": "uniform"}  # zeros would be kept but once
    x = layers.Conv2D(16, 3, strides=2, name="early", **options)(picture)
    x = layers.DepthwiseConv2D(3, **options)(x)
    x = layers.Conv2D(128, 3, **options)(x)
    x = layers.Conv2D(128, 3, name="late", **options)(x)
    whole = keras.Model(picture, layers.Dense(1000)(layers.Flatten()(x)))
    whole.save(tmp_path / "whole.keras")
    early = measured(tmp_path / "whole.keras", ("early",), tmp_path / "early")
    both = measured(tmp_path / "whole.keras", ("early", "late"), tmp_path / "both")
    needed = {layer.name: layer.cumulative_parameters for layer in costs(whole)}
    assert needed["early"] * 100 < needed["late"] < whole.count_params() / 50
    for form in ("tflite", "onnx"):
        assert early.operators[form] < both.operators[form]
        for name, files in (("early", early), ("late", both)):
            # The weights up to the cut and a few figures for shapes and means, nothing of what lies behind.
            assert 0 <= files.weights[form] - needed[name] < 100
            assert files.size[form] < 4 * needed[name] + 12_000
