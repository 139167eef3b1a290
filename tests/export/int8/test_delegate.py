"""What XNNPACK does not take in int8 stays in float, and a grouped convolution becomes the depthwise one that it is."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

for name in ("tensorflow", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

import keras
from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.tflite import conversion, flatbuffer, int8

OP = schema.BuiltinOperator
PICTURES = np.random.default_rng(2).integers(0, 256, (6, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def block() -> keras.Model:
    """A block of ConvNeXt with trained-like values: depthwise 7 x 7 as a grouped Conv2D, LayerNorm, GELU, a sum."""
    keras.utils.set_random_seed(11)
    layers = keras.layers
    image = keras.Input((32, 32, 3), dtype="uint8")
    start = layers.Conv2D(16, 4, strides=4)(keras.ops.cast(image, "float32") / 127.5 - 1.0)
    values = layers.Conv2D(32, 7, padding="same", groups=16, dilation_rate=1, bias_initializer="normal")(start)
    values = layers.LayerNormalization(epsilon=1e-6)(values)
    values = layers.Dense(16)(layers.Activation("gelu")(layers.Dense(64)(values)))
    values = layers.Conv2D(16, 1)(layers.Add()([start, values]))
    return keras.Model(image, layers.UnitNormalization()(layers.GlobalAveragePooling2D()(values)))


@pytest.fixture(scope="module")
def files(block: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The block in float32 and in int8."""
    folder = tmp_path_factory.mktemp("delegate")
    float32, small = folder / "float32.tflite", folder / "int8.tflite"
    conversion.float32(save_graph(block, ["feature"], folder / "graph"), float32)
    int8.int8(float32, PICTURES, small)
    return float32, small


def kinds(path: Path) -> list[tuple[int, set[int]]]:
    """Each operator of a file, with the types of its output."""
    model = flatbuffer.read(path)
    (graph,) = model.subgraphs
    return [
        (flatbuffer.op_code(model, one), {int(graph.tensors[tensor].type) for tensor in one.outputs})
        for one in graph.operators
    ]


def test_a_grouped_convolution_is_depthwise_and_gives_keras_own_features(
    block: keras.Model, files: tuple[Path, Path], features: Any
) -> None:
    codes = [code for code, _ in kinds(files[0])]
    assert codes.count(OP.DEPTHWISE_CONV_2D) == 1
    expected = np.asarray(block(PICTURES, training=False))
    np.testing.assert_allclose(features(files[0], PICTURES), expected, atol=2e-6)


def test_layer_norm_gelu_and_a_window_above_5x5_are_float_and_the_rest_is_int8(
    files: tuple[Path, Path], features: Any
) -> None:
    found = kinds(files[1])
    for code in (OP.DEPTHWISE_CONV_2D, OP.RSQRT, OP.SQUARED_DIFFERENCE, OP.GELU):
        types = [types for one, types in found if one == code]
        assert types, code
        assert set().union(*types) == {schema.TensorType.FLOAT32}, code
    assert {schema.TensorType.FLOAT32} not in [types for one, types in found if one == OP.FULLY_CONNECTED]
    # Between the convolution and the dense layer nothing is int8: one float part, not nine.
    start = [code for code, _ in found].index(OP.DEPTHWISE_CONV_2D)
    end = [code for code, _ in found].index(OP.FULLY_CONNECTED)
    assert [code for code, _ in found[start:end]].count(OP.QUANTIZE) == 1
    ours, exact = features(files[1], PICTURES), features(files[0], PICTURES)
    assert (ours * exact).sum(1).min() > 0.99


def test_a_variance_that_is_a_difference_stays_in_the_float_part(tmp_path: Path) -> None:
    # As the LayerNorm of Keras 3.16 computes it.
    keras.utils.set_random_seed(12)
    ops = keras.ops
    image = keras.Input((32, 32, 3), dtype="uint8")
    values = keras.layers.Conv2D(16, 4, strides=4)(ops.cast(image, "float32") / 127.5 - 1.0)
    mean = ops.mean(values, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(values), axis=-1, keepdims=True) - ops.square(mean)
    values = (values - mean) * ops.rsqrt(variance + 1e-3)
    values = keras.layers.Conv2D(16, 1)(values)
    model = keras.Model(image, keras.layers.UnitNormalization()(keras.layers.GlobalAveragePooling2D()(values)))
    float32, small = tmp_path / "float32.tflite", tmp_path / "int8.tflite"
    conversion.float32(save_graph(model, ["feature"], tmp_path / "graph"), float32)
    int8.int8(float32, PICTURES, small)
    codes = [code for code, _ in kinds(small)]
    first, last = codes.index(OP.CONV_2D), len(codes) - 1 - codes[::-1].index(OP.CONV_2D)
    between = codes[first + 1 : last]
    assert between.count(OP.SUB) >= 1
    assert between.count(OP.ADD) >= 1
    assert (between.count(OP.DEQUANTIZE), between.count(OP.QUANTIZE)) == (1, 1)
