"""Weights in TensorFlow checkpoints, which `save_weights` and `ModelCheckpoint` of Keras 2 write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.models.networks.code_models import branches, chain, nested
from tests.export.models.networks.keras2_models import SIDE, close, outputs, pictures, randomized, spec_of, tutorial

import edgefeat_export
from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._spec import NetworkSpec


@pytest.fixture(autouse=True)
def seed() -> None:
    for library in (keras, tf_keras):
        library.utils.set_random_seed(5)
        library.backend.clear_session()


def in_parts(model: Any, folder: Path) -> tuple[Path, Path]:
    layers, prefix = folder / "net.json", folder / "training" / "cp.ckpt"
    layers.write_text(model.to_json())
    model.save_weights(prefix)
    return layers, prefix


def spec(path: Path, weights: Path | str, **options: Any) -> NetworkSpec:
    return replace(spec_of(path, **{"preprocess": "raw"} | options), weights=str(weights))


def expected(model: Any) -> Any:
    return model.predict(pictures().astype(np.float32), verbose=0)


def trained(make: Callable[[], Any]) -> Any:
    """Return a network with an optimizer, whose state checkpoints contain."""
    model = randomized(make())
    model.compile("adam", "mse")
    model.fit(np.zeros((2, SIDE, SIDE, 3), np.uint8), np.zeros((2, *model.output_shape[1:])), verbose=0)
    return randomized(model)


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
def test_layers_and_a_checkpoint_are_the_model_of_keras(ending: str, tmp_path: Path) -> None:
    model = trained(tutorial)
    layers, prefix = in_parts(model, tmp_path)
    close(outputs(spec(layers, f"{prefix}{ending}", preprocess=None), pictures()), expected(model))


def sequential() -> Any:
    layers = [tf_keras.layers.SeparableConv2D(3, 3), tf_keras.layers.BatchNormalization()]
    return tf_keras.Sequential([tf_keras.Input((SIDE, SIDE, 3)), tf_keras.Sequential(layers), tf_keras.layers.ReLU()])


def test_a_sequential_is_restored(tmp_path: Path) -> None:
    model = trained(sequential)
    close(outputs(spec(*in_parts(model, tmp_path)), pictures()), expected(model))


@pytest.mark.parametrize(("make", "layer"), [(chain, "second"), (branches, "kept"), (nested, "first")])
def test_layers_with_code_are_left_out(make: Callable[[Any], Any], layer: str, tmp_path: Path) -> None:
    model = randomized(make(tf_keras))
    cut = tf_keras.Model(model.inputs, model.get_layer(layer).output)
    close(outputs(spec(*in_parts(model, tmp_path), layers=(layer,)), pictures()), expected(cut))


def test_the_model_may_be_named_in_the_checkpoint(tmp_path: Path) -> None:
    model = trained(tutorial)
    (tmp_path / "net.json").write_text(model.to_json())
    tf.train.Checkpoint(step=tf.Variable(1), net=model).write(str(tmp_path / "ckpt-1"))
    close(outputs(spec(tmp_path / "net.json", tmp_path / "ckpt-1", preprocess=None), pictures()), expected(model))


def test_one_of_several_models_is_not_chosen_silently(tmp_path: Path) -> None:
    model, average = (randomized(tutorial()) for _ in range(2))
    (tmp_path / "net.json").write_text(model.to_json())
    tf.train.Checkpoint(ema=average, model=model).write(str(tmp_path / "ckpt-1"))
    with pytest.raises(ExportError, match=r"it contains several models, ema, model \(allowed: one\)"):
        build_trunk(spec(tmp_path / "net.json", tmp_path / "ckpt-1", preprocess=None))


@pytest.mark.parametrize("inner", [False, True])
def test_normalization_computes_with_the_statistics_in_the_checkpoint(inner: bool, tmp_path: Path) -> None:
    normal = tf_keras.layers.Normalization(name="normal")
    normal.adapt(np.random.default_rng(3).uniform(50, 90, (64, SIDE, SIDE, 3)))
    first: Any = tf_keras.Sequential([tf_keras.Input((SIDE, SIDE, 3)), normal]) if inner else normal
    layers = [tf_keras.Input((SIDE, SIDE, 3)), first, tf_keras.layers.Conv2D(3, 3)]
    model = tf_keras.Sequential(layers)
    path, prefix = in_parts(model, tmp_path)
    close(outputs(spec(path, prefix, preprocess=None), pictures()), expected(model))
    model.save(tmp_path / "folder", save_format="tf")
    close(outputs(spec_of(tmp_path / "folder"), pictures()), expected(model))


@pytest.mark.parametrize("ending", ["conv", "norm"])
def test_weights_that_no_layer_has_are_of_another_model(ending: str, tmp_path: Path) -> None:
    def network(*, whole: bool) -> Any:
        convolution = tf_keras.layers.Conv2D(3, 3, use_bias=whole or ending == "norm", name="conv")
        last = (
            tf_keras.layers.BatchNormalization(name="norm")
            if whole or ending == "conv"
            else tf_keras.layers.ReLU(name="norm")
        )
        return tf_keras.Sequential([tf_keras.Input((SIDE, SIDE, 3)), convolution, last])

    _, prefix = in_parts(network(whole=True), tmp_path)
    (tmp_path / "other.json").write_text(network(whole=False).to_json())
    with pytest.raises(
        ExportError, match=f"its weights are not those of these layers: it has '\\w+' for layer '{ending}'"
    ):
        build_trunk(spec(tmp_path / "other.json", prefix))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = tutorial()
    model.get_layer("classes").set_weights([np.full(w.shape, np.nan) for w in model.get_layer("classes").get_weights()])
    with pytest.raises(ExportError, match=r"array 'classes/\w+:0' contains values that are not finite"):
        build_trunk(spec(*in_parts(model, tmp_path), preprocess=None))


def test_the_folder_of_a_checkpoint_is_enough(tmp_path: Path) -> None:
    model = randomized(tutorial())
    layers, prefix = in_parts(model, tmp_path)
    close(outputs(spec(layers, prefix.parent, preprocess=None), pictures()), expected(model))
    model.save_weights(prefix.parent / "cp-2.ckpt")
    with pytest.raises(ArgumentError, match=r"are a folder \(allowed: a file, or a checkpoint in it: .*cp-2\.ckpt"):
        build_trunk(spec(layers, prefix.parent, preprocess=None))


def small_backbone() -> tuple[Any, Any]:
    """Return a backbone of Keras 2, and a classifier with it, as in tutorials."""
    backbone = tf_keras.applications.MobileNetV2(include_top=False, weights=None, alpha=0.35, input_shape=(96, 96, 3))
    for layer in backbone.layers:  # statistics as of a trained network, so that outputs are not all alike
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            random = np.random.default_rng(len(layer.name))
            layer.set_weights([random.uniform(0.6, 1.4, weight.shape) for weight in layer.get_weights()])
    pooled = tf_keras.layers.GlobalAveragePooling2D()
    whole = tf_keras.Sequential([tf_keras.Input((96, 96, 3)), backbone, pooled, tf_keras.layers.Dense(3)])
    return tf_keras.Model(backbone.input, pooled(backbone.output)), whole


@pytest.mark.parametrize("classifier", [False, True])
def test_a_named_backbone_takes_the_weights_of_a_checkpoint(classifier: bool, tmp_path: Path) -> None:
    features, whole = small_backbone()
    (whole if classifier else features).save_weights(tmp_path / "cp.ckpt")
    named = NetworkSpec(
        "mobilenet_v2", alpha=0.35, size=(96, 96), weights=str(tmp_path / "cp.ckpt"), normalization="none"
    )
    photos = pictures(96)
    reference = features.predict(photos / 127.5 - 1, verbose=0)
    assert reference.std(axis=0).max() > 0
    close(outputs(named, photos), reference)


def test_a_bundle_names_the_checkpoint(tmp_path: Path) -> None:
    layers, prefix = in_parts(randomized(tutorial()), tmp_path)
    made = edgefeat_export.export(layers, tmp_path / "net.edgefeat", weights=prefix, variants=["tflite-float32"])
    assert made.bundle.manifest.backbone.weights == "file cp.ckpt"


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    layers, _ = in_parts(tutorial(), tmp_path)
    other = tf_keras.Sequential([tf_keras.Input((SIDE, SIDE, 3)), tf_keras.layers.Conv2D(3, 3)])
    other.save_weights(tmp_path / "other")
    with pytest.raises(
        ExportError, match=rf"^model {layers} cannot be loaded: its weights are not those of these layers"
    ):
        build_trunk(spec(layers, tmp_path / "other", preprocess=None))
    with pytest.raises(ArgumentError, match="do not fit mobilenetv2"):
        build_trunk(NetworkSpec("mobilenet_v2", alpha=0.35, weights=str(tmp_path / "other")))


@pytest.mark.parametrize("layers", [True, False], ids=["JSON", "a name"])
@pytest.mark.parametrize("part", ["data-00000-of-00001", "index"])
@pytest.mark.parametrize("length", [0, 100])
def test_a_damaged_checkpoint_is_refused(layers: bool, part: str, length: int, tmp_path: Path) -> None:
    path, prefix = in_parts(tutorial(), tmp_path)
    damaged = prefix.with_name(f"{prefix.name}.{part}")
    damaged.write_bytes(damaged.read_bytes()[:length])
    with pytest.raises(ExportError, match="it is damaged or incomplete"):
        build_trunk(
            spec(path, prefix)
            if layers
            else NetworkSpec("mobilenet_v2", alpha=0.35, size=(96, 96), weights=str(prefix))
        )


def test_variables_without_layers_are_refused(tmp_path: Path) -> None:
    layers, _ = in_parts(tutorial(), tmp_path)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("kernel", (3, 3))
        session.run(variable.initializer)
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"), write_meta_graph=False)
    with pytest.raises(ExportError, match="it names variables instead of layers"):
        build_trunk(spec(layers, tmp_path / "model.ckpt"))
    tf.train.Checkpoint(step=tf.Variable(1)).write(str(tmp_path / "step"))
    with pytest.raises(ExportError, match="it contains no layers of a functional or sequential model"):
        build_trunk(spec(layers, tmp_path / "step"))


def test_layers_of_keras_3_have_no_checkpoint(tmp_path: Path) -> None:
    _, prefix = in_parts(tutorial(), tmp_path)
    (tmp_path / "net.json").write_text(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).to_json())
    with pytest.raises(ArgumentError, match=r"do not belong to layers of Keras 3 \(allowed: a \.h5 or"):
        build_trunk(spec(tmp_path / "net.json", prefix))


def test_any_damage_is_loaded_or_one_clear_error(tmp_path: Path) -> None:
    model = randomized(sequential())
    layers, prefix = in_parts(model, tmp_path)
    reference = expected(model)
    whole = {end: Path(f"{prefix}{end}").read_bytes() for end in (".index", ".data-00000-of-00001")}

    @settings(max_examples=40, deadline=None)
    @given(ending=st.sampled_from(sorted(whole)), data=st.data())
    def damaged(ending: str, data: st.DataObject) -> None:
        content = bytearray(whole[ending])
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        for end, bytes_ in (whole | {ending: bytes(content)}).items():
            Path(f"{prefix}{end}").write_bytes(bytes_)
        try:
            found = outputs(spec(layers, prefix), pictures())
        except EdgefeatError as error:
            assert "\n" not in str(error)  # noqa: PT017  # any other error fails the test
            return
        close(found, reference)

    damaged()
