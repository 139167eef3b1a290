"""What scales pixels inside a saved model: kept when it is built anew, and only taken for whole pixels if it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tensorflow as tf
import tf_keras
from keras import layers

from edgefeat import ArgumentError
from edgefeat_export._models.normalization import square_deviations
from edgefeat_export._models.saved.model import load_model
from edgefeat_export._models.weights import copy_weights
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._network.trunk import Trunk
from edgefeat_export._spec import NetworkSpec

SIDE = 16
PIXELS = np.random.default_rng(2).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def seed() -> None:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)


def spec(path: Path, **options: Any) -> NetworkSpec:
    return NetworkSpec(backbone=str(path), **options)


def features(trunk: Trunk, pixels: Any = PIXELS) -> Any:
    return np.asarray(trunk.model(trunk.preprocess(pixels)))


def adapted(side: int | None, scale: float = 1.0, *, inner: bool = False) -> keras.Model:
    source = keras.Input((side, side, 3))
    normalization = layers.Normalization(name="own")
    normalization.adapt(PIXELS * scale)
    inside = keras.Sequential([keras.Input((side, side, 3)), normalization]) if inner else normalization
    x = layers.Conv2D(4, 3)(inside(source))
    return keras.Model(source, layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("inner", [False, True], ids=["a layer", "in an inner model"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_an_adapted_normalization_is_kept_in_a_model_that_is_built_anew(
    policy: str, inner: bool, tmp_path: Path
) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        model = adapted(None, inner=inner)
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "free.keras")
    loaded = load_model(spec(tmp_path / "free.keras", size=(SIDE, SIDE)))
    np.testing.assert_allclose(np.asarray(loaded(PIXELS)), np.asarray(model(PIXELS)), rtol=2e-2, atol=2e-2)
    trunk = build_trunk(spec(tmp_path / "free.keras", size=(SIDE, SIDE)))
    assert (trunk.preprocessing, len(trunk.notes)) == ("raw", 1)
    np.testing.assert_allclose(features(trunk), np.asarray(loaded(PIXELS)), rtol=1e-5, atol=1e-5)


#: Layers at the beginning of a network for pixels from 0 to 255, or for others.
FOR_BYTES: dict[str, Callable[[Any], Any]] = {
    "x / 255": layers.Rescaling(1 / 255),
    "x / 127.5 - 1": lambda x: layers.Rescaling(1 / 127.5, offset=-1)(x),
    "less the mean": lambda x: x[..., ::-1] - np.array([103.9, 116.8, 123.7], np.float32),
    "x / 255, normalized": lambda x: layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.05, 0.05, 0.05])(
        layers.Rescaling(1 / 255)(x)
    ),
    "1 - x / 255": lambda x: 1 - x / 255,
}
FOR_OTHERS: dict[str, Callable[[Any], Any]] = {
    "2 x - 1": lambda x: layers.Rescaling(2.0, offset=-1.0)(x),
    "(x - 0.5) * 2": lambda x: (x - 0.5) * 2.0,
    "normalized": lambda x: layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.05, 0.05, 0.05])(x),
    "x - 0.5": lambda x: x - 0.5,
}


def saved(first: Callable[[Any], Any], path: Path, *, inner: bool) -> Path:
    source = keras.Input((SIDE, SIDE, 3))
    if inner:
        inside = keras.Input((SIDE, SIDE, 3))
        body = keras.Model(inside, layers.Conv2D(4, 3)(first(inside)), name="body")
        x = body(layers.RandomFlip()(source))
    else:
        x = layers.Conv2D(4, 3)(first(source))
    keras.Model(source, layers.GlobalAveragePooling2D()(x)).save(path)
    return path


@pytest.mark.parametrize("inner", [False, True], ids=["a layer", "in an inner model"])
@pytest.mark.parametrize("name", FOR_BYTES)
def test_scaling_of_whole_pixels_needs_nothing(name: str, inner: bool, tmp_path: Path) -> None:
    trunk = build_trunk(spec(saved(FOR_BYTES[name], tmp_path / "own.keras", inner=inner)))
    assert trunk.preprocessing == "raw"
    assert "the model scales its own pixels" in trunk.notes[0]


@pytest.mark.parametrize("inner", [False, True], ids=["a layer", "in an inner model"])
@pytest.mark.parametrize("name", FOR_OTHERS)
def test_scaling_that_continues_another_is_asked_for(name: str, inner: bool, tmp_path: Path) -> None:
    path = saved(FOR_OTHERS[name], tmp_path / "own.keras", inner=inner)
    with pytest.raises(ArgumentError, match=r"begins with .*, which makes -.* of pixels from 0 to 255, so it may cont"):
        build_trunk(spec(path))
    trunk = build_trunk(spec(path, preprocess="unit"))
    model = keras.saving.load_model(path)
    np.testing.assert_allclose(features(trunk), np.asarray(model(PIXELS / 255)), rtol=1e-4, atol=1e-4)


def test_a_model_of_whole_numbers_takes_pixels_as_they_are(tmp_path: Path) -> None:
    class Served(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(tf.random.stateless_normal((3, 3, 3, 4), (1, 2)))

        @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.uint8)])
        def serve(self, image: Any) -> Any:
            x = tf.nn.conv2d(tf.cast(image, tf.float32) / 255, self.kernel, 1, "SAME")
            return {"features": tf.reduce_mean(x, (1, 2))}

    served = Served()
    tf.saved_model.save(served, str(tmp_path / "served"), signatures=served.serve)
    trunk = build_trunk(spec(tmp_path / "served"))
    assert trunk.preprocessing == "raw"
    expected = served.serve(tf.constant(PIXELS.astype(np.uint8)))["features"]
    np.testing.assert_allclose(features(trunk), expected.numpy(), rtol=1e-5, atol=1e-5)
    with pytest.raises(ArgumentError, match="takes whole numbers, which --preprocess unit does not leave"):
        build_trunk(spec(tmp_path / "served", preprocess="unit"))


def test_the_arithmetic_of_a_signature_is_looked_for_in_what_it_calls(tmp_path: Path) -> None:
    class Served(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32)])
        def serve(self, image: Any) -> Any:
            x = tf.image.resize(image, (8, 8)) / 127.5 - 1.0
            return {"features": tf.reduce_mean(tf.nn.relu(x), (1, 2))}

    served = Served()
    tf.saved_model.save(served, str(tmp_path / "served"), signatures=served.serve)
    with pytest.raises(ArgumentError, match=r"begins with pixels / 127\.5 - 1, and wrong"):
        build_trunk(spec(tmp_path / "served"))


def test_preprocess_input_and_numbers_before_tensors_in_keras_2(tmp_path: Path) -> None:
    source = tf_keras.Input((SIDE, SIDE, 3))
    x = tf_keras.applications.resnet50.preprocess_input(source)
    x = tf_keras.layers.Conv2D(4, 3, name="first")(x)
    x = tf_keras.layers.GlobalAveragePooling2D()(1.0 - x)
    model = tf_keras.Model(source, 2.0 * x)
    for path in (tmp_path / "caffe.h5", tmp_path / "caffe"):
        model.save(path)
        trunk = build_trunk(spec(path))
        assert trunk.preprocessing == "raw"
        np.testing.assert_allclose(features(trunk), model(PIXELS).numpy(), rtol=1e-4, atol=1e-3)


def test_the_name_of_a_file_may_be_in_capitals(tmp_path: Path) -> None:
    saved(FOR_BYTES["x / 255"], tmp_path / "own.keras", inner=False).rename(tmp_path / "OWN.KERAS")
    assert build_trunk(spec(tmp_path / "OWN.KERAS")).preprocessing == "raw"


def test_efficientnet_from_a_file_is_the_network_of_its_imagenet_weights(tmp_path: Path) -> None:
    """Keras adds a layer to the network only if it is asked for "imagenet"; the file does not say that it is there."""
    pixels = np.tile(PIXELS, (1, 2, 2, 1))
    deviations = np.array([0.229, 0.224, 0.225], np.float32)
    plain = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    normalization = next(layer for layer in plain.layers if isinstance(layer, layers.Normalization))
    normalization.adapt_mean.assign([0.485, 0.456, 0.406])
    normalization.adapt_variance.assign(deviations)
    plain.save_weights(tmp_path / "b0.weights.h5")

    after = keras.Model(plain.input, normalization.output)
    after.get_layer(normalization.name).finalize_state()
    expected = np.asarray(after(pixels)) / np.sqrt(deviations)  # the Rescaling that "imagenet" adds

    found = build_trunk(spec(Path("efficientnet_b0"), weights=str(tmp_path / "b0.weights.h5"), size=(32, 32)))
    of_file = next(layer for layer in found.model.layers if isinstance(layer, layers.Normalization))
    np.testing.assert_allclose(np.asarray(keras.Model(found.model.inputs, of_file.output)(pixels)), expected, rtol=1e-4)


@pytest.mark.parametrize("variance", [[1.0, 1.0, 1.0], [0.0524, 0.0502, 0.0506]])
def test_other_variances_stay(variance: list[float]) -> None:
    model = adapted(SIDE)
    model.get_layer("own").adapt_variance.assign(variance)
    square_deviations(model)
    np.testing.assert_allclose(np.asarray(model.get_layer("own").adapt_variance), variance)


def test_copied_weights_are_computed_with() -> None:
    source = adapted(SIDE)
    keras.utils.clear_session(free_memory=False)  # layers of the same names
    target = adapted(SIDE, scale=0.5)
    copy_weights(source, target)
    np.testing.assert_allclose(np.asarray(target(PIXELS)), np.asarray(source(PIXELS)), rtol=1e-5, atol=1e-5)
