"""SavedModel folders without layers of Keras, as Keras 3 exports them: cut at the scopes of their graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tensorflow as tf
import tf_keras
from tests.export.models.networks.keras2_models import SIDE, close, outputs, pictures, randomized, spec_of

from edgefeat import ArgumentError
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._spec import NetworkSpec


@pytest.fixture(autouse=True)
def seed() -> None:
    keras.utils.set_random_seed(5)
    keras.backend.clear_session()


def branched() -> Any:
    """Return a network with an inner model, squeeze-and-excitation, a sum and two kinds of normalization."""
    layers = keras.layers
    inside = keras.Input((SIDE, SIDE, 4), name="inside")
    x = layers.BatchNormalization(name="norm")(layers.SeparableConv2D(6, 3, padding="same", name="separable")(inside))
    inner = keras.Model(inside, layers.Activation("swish", name="swish")(x), name="inner")
    photo = keras.Input((SIDE, SIDE, 3), name="photo")
    x = inner(layers.Conv2D(4, 3, padding="same", name="first")(layers.Rescaling(1 / 255, name="scale")(photo)))
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    x = layers.Multiply(name="excite")([x, layers.Conv2D(6, 1, activation="sigmoid", name="gate")(gate)])
    x = layers.Add(name="sum")([x, layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)])
    x = layers.GlobalAveragePooling2D(name="pooled")(layers.LayerNormalization(name="normal")(x))
    return randomized(keras.Model(photo, layers.Dense(5, name="classes")(x)))


def exported(model: Any, folder: Path) -> Path:
    model.export(folder / "exported", verbose=False)
    return folder / "exported"


def expected(model: Any, layer: str) -> Any:
    cut = keras.Model(model.inputs, model.get_layer(layer).output)
    return cut.predict(pictures().astype(np.float32), verbose=0)


def listing(path: Path) -> NetworkSpec:
    return replace(spec_of(path), weights="random")


def named(path: Path, layer: str) -> str:
    """Return the name that the listing has for a layer: Keras numbers it."""
    found = [one.name for one in list_layers(listing(path)).layers if one.name.split("/")[-1].startswith(layer)]
    return found[-1]


@pytest.mark.parametrize("layer", ["first", "excite", "sum", "normal", "pooled", "classes"])
def test_each_layer_gives_what_keras_gives(layer: str, tmp_path: Path) -> None:
    model = branched()
    path = exported(model, tmp_path)
    close(
        outputs(spec_of(path, preprocess="raw", layers=(named(path, layer),)), pictures()),
        expected(model, layer),
    )


def test_the_whole_is_its_serving_signature(tmp_path: Path) -> None:
    model = branched()
    close(outputs(spec_of(exported(model, tmp_path), preprocess="raw"), pictures()), expected(model, "classes"))


def test_layers_are_listed_with_their_costs(tmp_path: Path) -> None:
    model = branched()
    listed = {one.name.split("/")[-1]: one for one in list_layers(listing(exported(model, tmp_path))).layers}
    first = next(one for name, one in listed.items() if name.startswith("first"))
    assert (first.kind, first.shape, first.parameters) == ("Conv2D", (SIDE, SIDE, 4), 3 * 3 * 3 * 4 + 4)
    assert first.macs == SIDE * SIDE * 4 * 3 * 3 * 3
    gate = next(one for name, one in listed.items() if name.startswith("gate"))
    assert gate.macs == 6 * 6
    last = listed["output_0"]
    assert last.cumulative_parameters == model.count_params()
    assert last.cumulative_macs > first.macs


def test_images_of_any_size_are_accepted(tmp_path: Path) -> None:
    layers = keras.layers
    photo = keras.Input((None, None, 3), name="photo")
    x = layers.Conv2D(4, 3, name="first")(photo)
    model = randomized(keras.Model(photo, layers.Dense(2, name="classes")(layers.GlobalMaxPooling2D(name="pooled")(x))))
    path = exported(model, tmp_path)
    spec = spec_of(path, preprocess="raw", size=(SIDE, SIDE), layers=(named(path, "pooled"),))
    close(outputs(spec, pictures()), expected(model, "pooled"))


def test_scopes_that_need_each_other_are_one_layer(tmp_path: Path) -> None:
    kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], name="photo")])
    def call(photo: Any) -> Any:
        with tf.name_scope("net/one/"):
            x = tf.nn.conv2d(photo, kernel, 1, "SAME")
        with tf.name_scope("net/two/"):
            y = tf.nn.relu(x)
        with tf.name_scope("net/one/"):
            z = y + x
        with tf.name_scope("net/three/"):
            return tf.reduce_mean(z, (1, 2))

    module: Any = tf.Module()
    module.kernel, module.call = kernel, call
    tf.saved_model.save(module, str(tmp_path / "net"), {"serving_default": call})
    listed = [one.name for one in list_layers(listing(tmp_path / "net")).layers]
    assert listed == ["photo", "net", "net/three", "output_0"]
    spec = spec_of(tmp_path / "net", preprocess="raw", layers=("net/three",))
    close(outputs(spec, pictures()), call(pictures().astype(np.float32)))


def test_an_output_that_ignores_the_image_is_still_one_layer(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], name="photo")])
    def call(photo: Any) -> Any:
        with tf.name_scope("one"):
            x = tf.reduce_mean(photo, (1, 2))
        with tf.name_scope("two"):
            return {"feature": x * 2.0, "version": tf.constant([1.0])}

    module: Any = tf.Module()
    module.call = call
    tf.saved_model.save(module, str(tmp_path / "net"), {"serving_default": call})
    assert [one.name for one in list_layers(listing(tmp_path / "net")).layers][1] == "serving_default"


def test_an_unknown_layer_is_refused_with_those_near(tmp_path: Path) -> None:
    path = exported(branched(), tmp_path)
    with pytest.raises(ArgumentError, match=r"layer 'pooling' is not in .* \(similar: pooled"):
        build_trunk(spec_of(path, preprocess="raw", layers=("pooling",)))


def test_functions_that_a_layer_calls_stay_in_it(tmp_path: Path) -> None:
    """Keras compiles grouped convolutions, as ConvNeXt's, by XLA, in a function of their own."""
    photo = keras.Input((SIDE, SIDE, 3), name="photo")
    grouped = keras.layers.Conv2D(6, 3, groups=3, name="grouped")(photo)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(keras.layers.Activation("gelu", name="curve")(grouped))
    model = randomized(keras.Model(photo, x))
    path = exported(model, tmp_path)
    for layer in ("grouped", "pooled"):
        spec = spec_of(path, preprocess="raw", layers=(named(path, layer),))
        close(outputs(spec, pictures()), expected(model, layer))


def test_parts_may_compute_in_half_precision(tmp_path: Path) -> None:
    layers = keras.layers
    photo = keras.Input((SIDE, SIDE, 3), name="photo")
    x = layers.Conv2D(6, 3, dtype="mixed_float16", name="half")(layers.Rescaling(1 / 255, name="scale")(photo))
    x = layers.GlobalAveragePooling2D(dtype="mixed_float16", name="pooled")(x)
    model = randomized(keras.Model(photo, layers.Dense(3, name="classes")(x)))
    path = exported(model, tmp_path)
    for layer in ("half", "pooled", "classes"):
        found = outputs(spec_of(path, preprocess="raw", layers=(named(path, layer),)), pictures())
        np.testing.assert_allclose(found, expected(model, layer), rtol=3e-3)


def saved(call: Any, folder: Path) -> Path:
    module: Any = tf.Module()
    module.call = call
    tf.saved_model.save(module, str(folder), {"serving_default": call})
    return folder


def test_shapes_pass_from_part_to_part(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], name="photo")])
    def call(photo: Any) -> Any:
        with tf.name_scope("net/first/"):
            sides, doubled, bright = tf.shape(photo), photo * 2, photo > 100
        with tf.name_scope("net/second/"):
            rows = tf.reshape(tf.where(bright, doubled, photo), [sides[0], -1, 3])
        with tf.name_scope("net/third/"):
            return tf.reduce_mean(rows, 1)

    path = saved(call, tmp_path / "net")
    listed = list_layers(replace(listing(path), size=(SIDE, SIDE)))
    assert [one.name for one in listed.layers][-2:] == ["third", "output_0"]
    assert listed.layers[-2].shape == (3,)
    spec = spec_of(path, preprocess="raw", size=(SIDE, SIDE), layers=("third",))
    close(outputs(spec, pictures()), call(pictures().astype(np.float32)))


def test_an_input_in_half_precision_is_cast(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float16, name="photo")])
    def call(photo: Any) -> Any:
        with tf.name_scope("net/first/"):
            x = photo / 255
        with tf.name_scope("net/second/"):
            return tf.cast(tf.reduce_mean(x, (1, 2)), tf.float32)

    path = saved(call, tmp_path / "net")
    for layers in ((), ("second",)):
        found = outputs(spec_of(path, preprocess="raw", layers=layers), pictures())
        np.testing.assert_allclose(found, call(pictures().astype(np.float16)), rtol=3e-3)


def test_a_folder_of_keras_2_that_begins_with_code_is_cut_in_its_graph(tmp_path: Path) -> None:
    """As with a module of TensorFlow Hub in a layer, and a classifier of Keras behind it."""

    class Module(tf_keras.layers.Layer):  # type: ignore[misc]  # tf-keras has no types
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(name="kernel", shape=(3, 3, shape[-1], 6), initializer="glorot_uniform")

        def call(self, pixels: Any) -> Any:
            with tf.name_scope("features"):
                x = tf.nn.relu(tf.nn.conv2d(pixels / 255, self.kernel, 2, "SAME"))
                return tf.reduce_mean(x, (1, 2), name="pooled")

    module = Module(name="module")
    model = tf_keras.Sequential([tf_keras.Input((SIDE, SIDE, 3)), module, tf_keras.layers.Dense(4, name="classes")])
    model.save(tmp_path / "net")
    names = [one.name for one in list_layers(listing(tmp_path / "net")).layers]
    features = next(name for name in names if name.endswith("features"))
    pixels = pictures().astype(np.float32)
    close(outputs(spec_of(tmp_path / "net", preprocess="raw", layers=(features,)), pictures()), module(pixels))
    close(outputs(spec_of(tmp_path / "net", preprocess="raw"), pictures()), model(pixels))
