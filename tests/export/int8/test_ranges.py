"""The ranges of activations: what saturates, what a following activation function allows, and both formats the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from scipy.special import expit
from tests.export.int8.correction_case import some_pictures

from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import conversion as tflite
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._convert.tflite.integer import conversion
from edgefeat_export._quantize.correction.corrected_files import Models, write_corrected
from edgefeat_export._quantize.correction.pieces import Correction
from edgefeat_export._quantize.correction.ranges import best_range, following

Floats = npt.NDArray[np.float32]


def node(kind: str, inputs: list[str], output: str) -> Any:
    return onnx.helper.make_node(kind, inputs, [output], output)


SWISH = [node("Sigmoid", ["x"], "gate"), node("Mul", ["x", "gate"], "swish")]


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def grid(values: Floats, low: float, high: float) -> Floats:
    """256 levels by NumPy's own words: the nearest of the levels that include zero."""
    step = (high - low) / 255
    levels = (np.arange(256) - np.clip(np.rint(-low / step), 0, 255)) * step
    places = np.clip(np.searchsorted(levels, values), 1, 255)
    nearer = np.abs(values - levels[places - 1]) <= np.abs(values - levels[places])
    return np.asarray(np.where(nearer, levels[places - 1], levels[places]), np.float32)


@given(seed=st.integers(0, 1000), tail=st.floats(1, 30), shift=st.floats(-3, 3))
def test_a_swish_of_the_rounded_values_is_nearer_than_with_the_observed_range(
    seed: int, tail: float, shift: float
) -> None:
    values = np.random.default_rng(seed).normal(shift, 2, (4, 6, 8, 8)).astype(np.float32)
    values[0, 0, 0, 0] = -tail
    found = best_range([values[:2], values[2:]], following(SWISH), random())
    assert found is not None
    low, high = found
    assert min(float(values.min()), 0.0) <= low <= 0 <= high <= max(float(values.max()), 0.0)

    def error(low: float, high: float) -> float:
        rounded = grid(values, low, high)
        return float(np.square(rounded * expit(rounded) - values * expit(values)).sum())

    assert error(low, high) <= 1.001 * error(min(float(values.min()), 0.0), max(float(values.max()), 0.0))


def test_what_a_swish_makes_almost_zero_takes_few_levels() -> None:
    values = np.random.default_rng(1).uniform(-40, 20, (4, 8, 10, 10)).astype(np.float32)
    found = best_range([values], following(SWISH), random())
    assert found is not None
    assert -12 < found[0] < -4
    assert found[1] > 19


def test_without_a_function_only_the_ends_of_long_tails_saturate() -> None:
    values = np.random.default_rng(2).normal(0, 1, (4, 8, 20, 20)).astype(np.float32)
    assert best_range([values], None, random()) is None
    tailed = np.random.default_rng(2).standard_t(4, (4, 8, 100, 100)).astype(np.float32)
    found = best_range([tailed], None, random())
    assert found is not None
    assert 2 < found[1] < 0.8 * tailed.max()


def test_a_tensor_with_one_position_gets_more_than_what_was_seen() -> None:
    values = np.random.default_rng(3).normal(0, 1, (4, 8, 1, 1)).astype(np.float32)
    found = best_range([values[:3], values[3:]], following(SWISH), random())
    assert found == pytest.approx((1.25 * float(values.min()), 1.25 * float(values.max())))
    assert best_range([values[..., 0, 0]], None, random()) == found


def test_an_activation_is_known_by_the_nodes_that_read_the_tensor() -> None:
    x = np.linspace(-8, 8, 33, dtype=np.float32)
    swish, hard = following(SWISH), following([node("HardSwish", ["x"], "y")])
    gate = following([node("Sigmoid", ["x"], "y")])
    assert swish is not None
    assert hard is not None
    assert gate is not None
    np.testing.assert_allclose(swish(x), x / (1 + np.exp(-x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(hard(x), x * np.clip(x + 3, 0, 6) / 6, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gate(x), 1 / (1 + np.exp(-x)), rtol=1e-5)
    another = node("Mul", ["x", "something"], "product")
    assert following([SWISH[0], another]) is None  # the tensor itself is read as well
    assert following([*SWISH, node("Conv", ["x", "w"], "z")]) is None
    assert following([node("Conv", ["x", "w"], "z")]) is None
    assert following([]) is None


def test_every_int8_file_has_the_chosen_ranges(tmp_path: Path) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, -1)(image)
    for count in (8, 12):
        x = layers.Activation("swish")(layers.Conv2D(count, 3, strides=2, kernel_initializer="he_normal")(x))
    feature = layers.UnitNormalization()(layers.GlobalAveragePooling2D()(x))
    plain = Models(tmp_path / "float32.tflite", tmp_path / "float32.onnx")
    tflite.float32(save_graph(keras.Model(image, feature), ["feature"], tmp_path / "graph"), plain.tflite)
    to_onnx.float32(plain.tflite, plain.onnx)
    target, pictures = Models(tmp_path / "corrected.tflite", tmp_path / "corrected.onnx"), some_pictures(20, seed=1)
    *_, chosen = write_corrected(plain, target, pictures, Correction(), ())
    assert chosen
    made = Models(tmp_path / "int8.tflite", tmp_path / "int8.onnx")
    tflite_int8.int8(target.tflite, pictures, made.tflite, chosen=chosen)
    onnx_int8.quantize(target.onnx, pictures, made.onnx, chosen=chosen)
    integers = tmp_path / "integer.tflite"
    conversion.integer(target.tflite, pictures, integers, normalized=["feature"], chosen=chosen)
    ours = [
        {
            tensor.name.decode(): float(tensor.quantization.scale[0])
            for tensor in flatbuffer.read(path).subgraphs[0].tensors
            if tensor.quantization is not None and tensor.quantization.scale is not None
        }
        for path in (made.tflite, integers)
    ]
    theirs = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(made.onnx).graph.initializer}
    swishes = [name for name in chosen if f"{name}_scale" in theirs and "Sigmoid" not in name]
    assert len(swishes) >= 2
    for name in swishes:
        low, high = chosen[name]
        assert float(theirs[f"{name}_scale"]) == pytest.approx((high - low) / 255, rel=1e-5)
        for scales in ours:
            assert scales[name] == pytest.approx((high - low) / 255, rel=1e-5)
