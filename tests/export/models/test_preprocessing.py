"""What is done to pixels before the first layer: against keras.applications' own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras

from edgefeat import ArgumentError
from edgefeat_export._models.preprocessing import gray, preprocessing_named
from edgefeat_export._spec import MODES

#: A module of keras.applications for each mode.
OWN = {
    "tf": keras.applications.mobilenet_v2,
    "torch": keras.applications.densenet,
    "caffe": keras.applications.resnet50,
    "raw": keras.applications.efficientnet,
}
IMAGENET = "0.485,0.456,0.406/0.229,0.224,0.225"
IMAGENET_OF_255 = "123.675, 116.28, 103.53 / 58.395, 57.12, 57.375"


@pytest.fixture(scope="module")
def pixels() -> Any:
    return np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).astype(np.float32)


def test_every_mode_is_tried_here() -> None:
    assert {*OWN, "unit"} == set(MODES)


def test_unit_is_the_usual_rescaling(pixels: Any) -> None:
    expected = np.asarray(keras.layers.Rescaling(1 / 255)(pixels))
    np.testing.assert_allclose(preprocessing_named("unit")(pixels), expected, rtol=1e-6)


@pytest.mark.parametrize("text", ["0/255", "0/1", "127.5/127.5", "0.5/0.25"])
def test_one_figure_is_for_all_channels(text: str, pixels: Any) -> None:
    mean, deviation = text.split("/")
    three = f"{mean},{mean},{mean}/{deviation},{deviation},{deviation}"
    np.testing.assert_array_equal(preprocessing_named(text)(pixels), preprocessing_named(three)(pixels))
    gray = pixels[..., :1]
    for one in (text, three):
        np.testing.assert_array_equal(preprocessing_named(one, "gray")(gray), preprocessing_named(text)(gray))


@pytest.mark.parametrize("text", ["torch", "caffe", "0,0,1/1,1,1"])
def test_gray_pictures_have_no_mode_of_three_colours(text: str) -> None:
    with pytest.raises(ArgumentError, match="takes gray images"):
        preprocessing_named(text, "gray")


def test_gray_is_that_of_pillow_in_arrays_and_graphs() -> None:
    from PIL import Image

    colours = np.random.default_rng(3).integers(0, 256, (1, 256, 512, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colours[0]).convert("L"))[np.newaxis, ..., np.newaxis]
    pixels = colours.astype(np.float32)
    np.testing.assert_array_equal(np.asarray(gray(pixels)), expected)
    picture = keras.Input(pixels.shape[1:])
    np.testing.assert_array_equal(np.asarray(keras.Model(picture, gray(picture))(pixels)), expected)
    every = np.broadcast_to(np.arange(256, dtype=np.float32)[np.newaxis, :, np.newaxis, np.newaxis], (1, 256, 1, 3))
    np.testing.assert_array_equal(np.asarray(gray(every)), every[..., :1])


@pytest.mark.parametrize("mode", sorted(OWN))
def test_a_mode_is_that_of_keras(mode: str, pixels: Any) -> None:
    expected = OWN[mode].preprocess_input(pixels.copy())
    assert mode == "raw" or not np.allclose(expected, pixels)
    np.testing.assert_array_equal(preprocessing_named(mode)(pixels.copy()), expected)


@pytest.mark.parametrize("text", [*MODES, IMAGENET, IMAGENET_OF_255])
def test_a_graph_gets_what_an_array_gets(text: str, pixels: Any) -> None:
    preprocess = preprocessing_named(text)
    picture = keras.Input(pixels.shape[1:])
    model = keras.Model(picture, preprocess(picture) + 0.0)
    result = np.asarray(model(pixels, training=False))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, preprocess(pixels.copy()), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("text", [IMAGENET, IMAGENET_OF_255])
def test_mean_and_deviation_are_of_pixels_or_of_pixels_scaled_to_1(text: str, pixels: Any) -> None:
    expected = keras.applications.densenet.preprocess_input(pixels.copy())
    np.testing.assert_allclose(preprocessing_named(text)(pixels), expected, rtol=1e-5, atol=1e-5)


def test_a_mean_of_0_and_a_deviation_of_1_scale_to_1(pixels: Any) -> None:
    np.testing.assert_allclose(preprocessing_named("0,0,0/1,1,1")(pixels), pixels / 255, rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "imagenet",
        "TF",
        "0.5",
        "0.5,0.5/0.5,0.5",
        "0.5,0.5,0.5",
        "0.5,0.5,0.5/0.5,0.5,0",
        "0.5,0.5,0.5/0.5,0.5,-1",
        "-0.5,0.5,0.5/0.5,0.5,1",
        "nan,0,0/1,1,1",
        "inf,0,0/1,1,1",
        "0.5;0.5;0.5/1;1;1",
        "0.5,0.5,0.5/1,1,1/1",
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        preprocessing_named(text)
    assert repr(text) in str(caught.value)
    for mode in MODES:
        assert mode in str(caught.value)
