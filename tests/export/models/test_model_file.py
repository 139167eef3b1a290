"""Saved models in all their variety: any input size, policy and layer name; code in them is not run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tf_keras
from keras import layers

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.backbones import backbone_named
from edgefeat_export._models.saved.model import load_model
from edgefeat_export._network.cut import cut
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._network.network import build, tap_name
from edgefeat_export._spec import NetworkSpec, model_name

SIZE = 16


@pytest.fixture(autouse=True)
def seed() -> None:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)


def spec_of(backbone: Path | str, size: tuple[int, int] | None = None) -> NetworkSpec:
    return NetworkSpec(
        backbone=str(backbone),
        size=size,
    )


def body(source: Any) -> Any:
    """Return a network with branches, one layer that is called twice, and an inner model."""
    inside = keras.Input((None, None, 4))
    inner = keras.Model(inside, layers.Conv2D(4, 1, name="point")(inside), name="inner")
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    x = layers.Conv2D(4, 3, padding="same", name="picture")(source)
    x = layers.Add()([shared(shared(x)), layers.BatchNormalization()(inner(x))])
    return layers.GlobalAveragePooling2D()(layers.Rescaling(2.0)(x))


def functional(side: int | None) -> keras.Model:
    source = keras.Input((side, side, 3))
    return keras.Model(source, body(source))


def sequential(side: int | None) -> keras.Model:
    return keras.Sequential(
        [keras.Input((side, side, 3)), layers.Conv2D(4, 3), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D()]
    )


def of_dict(side: int | None) -> keras.Model:
    source = keras.Input((side, side, 3), name="photo")
    return keras.Model({"photo": source}, body(source))


def randomized(model: keras.Model) -> keras.Model:
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.1, 1, weight.shape).astype(weight.dtype) for weight in model.get_weights()])
    return model


def pictures(height: int, width: int) -> Any:
    return np.random.default_rng(1).uniform(0, 1, (2, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("make", [functional, sequential, of_dict])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("size", [None, (SIZE, 24)])
def test_a_model_for_any_size_gets_one(make: Any, suffix: str, size: tuple[int, int] | None, tmp_path: Path) -> None:
    model = randomized(make(None))
    path = tmp_path / f"free.{suffix}"
    model.save(path)
    height, width = size or (224, 224)
    loaded = load_model(spec_of(path, size))
    assert loaded.inputs[0].shape == (None, height, width, 3)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    given = pictures(height, width)
    expected = np.asarray(model({"photo": given} if make is of_dict else given))
    trunk, _ = cut(loaded, ())
    np.testing.assert_allclose(np.asarray(trunk(given)), expected, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "mixed_bfloat16"])
@pytest.mark.parametrize("make", [functional, sequential])
@pytest.mark.parametrize("side", [SIZE, None])
def test_a_model_of_another_policy_becomes_float32(policy: str, make: Any, side: int | None, tmp_path: Path) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        model = randomized(make(side))
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "mixed.keras")
    loaded = load_model(spec_of(tmp_path / "mixed.keras", (SIZE, SIZE)))
    assert {layer.dtype_policy.name for layer in loaded._flatten_layers()} == {"float32"}
    assert loaded.outputs[0].dtype == "float32"
    exact = randomized(make(side))
    for mine, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_array_equal(mine, theirs.astype(np.float32))
    given = pictures(SIZE, SIZE)
    np.testing.assert_allclose(np.asarray(loaded(given)), np.asarray(exact(given)), rtol=1e-2)


def test_a_quantized_model_is_refused_by_policy_and_layer(tmp_path: Path) -> None:
    source = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(source, layers.Dense(4, name="told")(layers.Flatten()(source)))
    model.quantize("int8")
    model.save(tmp_path / "int8.keras")
    with pytest.raises(ArgumentError, match="layer 'told' has policy int8_from_float32"):
        load_model(spec_of(tmp_path / "int8.keras"))


class Twice(layers.Layer):  # type: ignore[misc]  # keras has no types
    def call(self, x: Any) -> Any:
        return x * 2


class Sub(keras.Model):  # type: ignore[misc]  # keras has no types
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.convolution = layers.Conv2D(4, 3)

    def call(self, x: Any) -> Any:
        return self.convolution(x)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: layers.Lambda(lambda x: x / 2, name="halve"), "contains a Lambda layer 'halve' (class Lambda), whose"),
        (lambda: Twice(name="twice"), "contains a custom layer 'twice' (class Twice), whose"),
    ],
)
def test_a_layer_of_code_is_named_and_not_run(make: Any, said: str, nested: bool, suffix: str, tmp_path: Path) -> None:
    source = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(source, make()(layers.Conv2D(4, 3)(source * 2.0)))
    if nested:
        model = keras.Model(source, layers.ReLU()(model(source)))
    path = tmp_path / f"code.{suffix}"
    model.save(path)
    with pytest.raises(ExportError, match=re.escape(f"{path} {said} code is not run: replace it with a")) as caught:
        build_trunk(replace(spec_of(path), preprocess="raw"))
    assert "safe_mode" not in str(caught.value)


def test_a_subclassed_model_is_named(tmp_path: Path) -> None:
    model = Sub(name="sub")
    model(np.zeros((1, SIZE, SIZE, 3)))
    model.save(tmp_path / "sub.keras")
    with pytest.raises(ExportError, match=r"is a subclassed model 'sub' \(class Sub\), whose code is not run"):
        load_model(spec_of(tmp_path / "sub.keras"))


def test_a_function_of_code_is_not_run(tmp_path: Path) -> None:
    source = keras.Input((SIZE, SIZE, 3))
    keras.Model(source, layers.Activation(lambda x: x / 2)(source)).save(tmp_path / "code.keras")
    with pytest.raises(ExportError, match=r"cannot be loaded by Keras|it contains Python code") as caught:
        load_model(spec_of(tmp_path / "code.keras"))
    assert "safe" not in str(caught.value)


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    for name in ("no.keras", "no.h5"):
        (tmp_path / name).write_bytes(b"no model")
        with pytest.raises(ExportError, match="is not a Keras model: it begins with b'no model'"):
            load_model(spec_of(tmp_path / name))


def test_a_model_of_several_outputs_is_listed_and_its_outputs_are_named(tmp_path: Path) -> None:
    source = keras.Input((SIZE, SIZE, 3), name="photo")
    x = layers.Conv2D(4, 3, name="stem")(source)
    model = keras.Model(source, [layers.Conv2D(2, 1, name="left")(x), layers.Dense(3, name="right")(x)])
    path = tmp_path / "net.v1.keras"
    model.save(path)
    listed = list_layers(spec_of(path))
    assert (listed.backbone, listed.height, listed.width) == ("net.v1", SIZE, SIZE)
    assert [layer.name for layer in listed.layers] == ["photo", "stem", "left", "right"]
    with pytest.raises(
        ArgumentError,
        match=r"2 outputs: choose with --layer where to cut it \(the outputs come from layers left, right",
    ):
        build_trunk(spec_of(path))


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("layer with space", "layer_with_space"),
        ("größe", "gr__e"),
        ("a-b(1):0", "a-b_1__0"),
        ("inner/deep", "inner.deep"),
        ("a\\b", "a_b"),
        ("ü", "tap_"),
        ("_x", "tap_x"),
        ("-x", "tap-x"),
        (".", "tap."),
        ("..", "tap.."),
        ("/", "tap."),
        (".x", ".x"),
    ],
)
def test_a_tap_has_a_name_that_every_format_takes(layer: str, name: str) -> None:
    assert tap_name(layer) == name


@pytest.mark.parametrize("names", [("a b", "a:b"), ("norm", "Norm")])
def test_layers_whose_taps_would_have_one_name_are_refused(names: tuple[str, str]) -> None:
    source = keras.Input((SIZE, SIZE, 3))
    first = layers.ReLU(name=names[0])(source)
    model = keras.Model(source, layers.ReLU(name=names[1])(first))
    with pytest.raises(ArgumentError, match=f"layers '{names[0]}' and '{names[1]}' would both be tap"):
        cut(model, names)
    assert cut(model, names[:1])[1] == names[:1]


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/net.v1.keras", "net.v1"), ("net.H5", "net"), ("x.keras.hdf5", "x.keras"), (".v1.h5", ".v1"), (".h5", ".h5")],
)
def test_a_model_is_named_after_its_file_without_the_suffix(path: str, name: str) -> None:
    assert model_name(path) == name


@pytest.mark.parametrize("name", ["my.keras/", ".", "..", "models/net"])
def test_a_path_that_is_not_a_saved_model_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"is a path, but not of a saved model \(allowed: a file \.keras, "):
        backbone_named(name)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("library", [keras, tf_keras], ids=["Keras 3", "Keras 2"])
def test_an_image_given_as_a_row_of_numbers_is_flattened_if_its_size_is_said(
    library: Any, channels: int, tmp_path: Path
) -> None:
    made = [library.layers.Dense(8, activation="relu", name="flattened"), library.layers.Dense(4, name="picture")]
    model = library.Sequential([library.Input((6 * 9 * channels,)), library.layers.Rescaling(1 / 255), *made])
    model.save(tmp_path / "row.h5")
    with pytest.raises(ArgumentError, match=rf"takes \(None, {54 * channels}\)"):
        load_model(spec_of(tmp_path / "row.h5"))
    photos = np.random.default_rng(1).integers(0, 256, (3, 6, 9, channels)).repeat(3 // channels, axis=-1)
    expected = model.predict(photos[..., :channels].reshape(3, -1).astype(np.float32), verbose=0)
    spec = replace(spec_of(tmp_path / "row.h5", (6, 9)), normalization="none")
    network = build(build_trunk(spec), spec, photos.astype(np.uint8))
    np.testing.assert_allclose(network.model(photos.astype(np.float32)), expected, rtol=1e-4, atol=1e-5)
    assert [layer.name for layer in list_layers(spec).layers][-2:] == ["flattened", "picture"]


def test_a_row_of_numbers_whose_graph_is_no_chain_stays_refused(tmp_path: Path) -> None:
    row = keras.Input((54,))
    wide = layers.Dense(8)(row)
    keras.Model(row, layers.Add()([wide, layers.Dense(8)(row)])).save(tmp_path / "row.keras")
    keras.Model(row, layers.Dense(8)(row * 2.0)).save(tmp_path / "scaled.keras")
    keras.Model(row, [layers.Dense(8)(wide), layers.Dense(8)(wide)]).save(tmp_path / "two.keras")
    keras.Model(row, layers.BatchNormalization()(wide, training=True)).save(tmp_path / "trained.keras")
    for name in ("row.keras", "scaled.keras", "two.keras", "trained.keras"):
        with pytest.raises(ArgumentError, match=r"takes \(None, 54\)"):
            load_model(spec_of(tmp_path / name, (6, 9)))
