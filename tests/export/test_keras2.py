"""Saved models of Keras 2, made by tf-keras in every format: the exported network computes what tf-keras computes."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
import tf_keras
from tf_keras import layers

from edgefeat import ArgumentError, ExportError
from edgefeat_export._network.heads import build
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.trunk import build_trunk
from edgefeat_export._spec import NetworkSpec

SIDE = 24


@pytest.fixture(autouse=True)
def seed() -> None:
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(3)


def encoder() -> Any:
    picture = tf_keras.Input((None, None, 3), name="inside")
    x = layers.SeparableConv2D(8, 3, name="separable")(picture)
    return tf_keras.Model(picture, layers.BatchNormalization(name="norm")(x), name="encoder")


def tutorial(**options: Any) -> Any:
    """Return a model as in tutorials: augmentation, arithmetic on pixels, an inner model, a classifier."""
    picture = tf_keras.Input((SIDE, SIDE, 3), name="photo", **options)
    x = tf_keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.2)], name="augmentation")(picture)
    x = tf.cast(x, "float32") if options.get("dtype") == "uint8" else x
    x = tf.math.subtract(x / 127.5, 1.0)
    x = encoder()(x)
    x = layers.DepthwiseConv2D(3, strides=2, activation="swish", name="depth/wise")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return tf_keras.Model(picture, layers.Dense(5, name="classes")(x))


def randomized(model: Any) -> Any:
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.1, 0.9, weight.shape) for weight in model.get_weights()])
    return model


def saved(model: Any, folder: Path, form: str) -> Path:
    path = folder / f"net{form}"
    model.compile(tf_keras.optimizers.Adam(), loss="mse")
    if form == "":
        model.save(path, save_format="tf")
    else:
        model.save(path)
    return path


def spec_of(path: Path, **options: Any) -> NetworkSpec:
    return replace(NetworkSpec(str(path), pooling="none", normalization="none"), **options)


def pictures(side: int = SIDE) -> Any:
    return np.random.default_rng(1).integers(0, 256, (3, side, side, 3), np.uint8)


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def outputs(spec: NetworkSpec, given: Any) -> Any:
    """What the network that is exported gives for uint8 RGB pictures."""
    network = build(build_trunk(spec), spec, given)
    return np.asarray(network.model(given.astype(np.float32), training=False))


@pytest.mark.parametrize("form", [".h5", ".keras", ""])
def test_every_format_gives_what_tf_keras_gives(form: str, tmp_path: Path) -> None:
    model = randomized(tutorial())
    path = saved(model, tmp_path, form)
    given = pictures()
    close(outputs(spec_of(path), given), model.predict(given, verbose=0))
    trunk = build_trunk(spec_of(path))
    assert trunk.layers == ("classes",)
    assert "tf.math.truediv, tf.math.subtract" in trunk.notes[0]


@pytest.mark.parametrize("form", [".h5", ".keras", ""])
@pytest.mark.parametrize("layer", ["pooled", "encoder", "encoder/separable", "depth/wise"])
def test_a_cut_anywhere_is_that_of_tf_keras(layer: str, form: str, tmp_path: Path) -> None:
    model = randomized(tutorial())
    path = saved(model, tmp_path, form)
    given = pictures()
    if layer == "encoder/separable":
        inner = model.get_layer("encoder")
        scaled = tf_keras.Model(model.inputs, inner.get_input_at(0))
        inside = tf_keras.Model(inner.inputs, inner.get_layer("separable").output)
        expected = inside.predict(scaled.predict(given, verbose=0), verbose=0)
    else:
        expected = tf_keras.Model(model.inputs, model.get_layer(layer).get_output_at(0)).predict(given, verbose=0)
    close(outputs(spec_of(path, layers=(layer,)), given), expected)


def test_layers_are_listed_with_paths_and_costs(tmp_path: Path) -> None:
    path = saved(tutorial(), tmp_path, ".h5")
    listed = {layer.name: layer for layer in list_layers(spec_of(path)).layers}
    inner = listed["encoder/separable"]
    assert inner.shape == (22, 22, 8)
    assert inner.macs == 22 * 22 * (9 * 3 + 3 * 8)
    assert listed["depth/wise"].macs == 10 * 10 * 8 * 9
    assert listed["classes"].cumulative_parameters == tutorial().count_params()
    assert {name for name in listed if name.startswith("augmentation/")} >= {"augmentation/random_flip"}


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "mixed_bfloat16"])
def test_other_policies_become_float32(policy: str, tmp_path: Path) -> None:
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        picture = tf_keras.Input((SIDE, SIDE, 3))
        x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(picture))
        model = randomized(tf_keras.Model(picture, layers.GlobalMaxPooling2D()(x)))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    path = saved(model, tmp_path, ".h5")
    given = pictures()
    result = outputs(spec_of(path), given)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, model.predict(given, verbose=0).astype(np.float32), rtol=3e-2)


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 1}, {"batch_size": 4}, {"dtype": "uint8"}],
    ids=["batch of 1", "batch of 4", "uint8"],
)
@pytest.mark.parametrize("form", [".h5", ".keras"])
def test_a_baked_batch_or_type_does_not_matter(options: dict[str, Any], form: str, tmp_path: Path) -> None:
    model = randomized(tutorial(**options))
    path = saved(model, tmp_path, form)
    given = pictures()
    rows = [np.asarray(tutorial_like(model, row)) for row in given]
    close(outputs(spec_of(path), given), np.concatenate(rows))


def tutorial_like(model: Any, row: Any) -> Any:
    """One picture, in a batch as large as the model's."""
    size = model.inputs[0].shape[0] or 1
    return model(np.repeat(row[np.newaxis], size, axis=0).astype(model.inputs[0].dtype.name), training=False)[:1]


def test_a_size_of_its_own_is_that_of_a_resizing_layer(tmp_path: Path) -> None:
    picture = tf_keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(layers.Resizing(20, 28)(picture))
    model = randomized(tf_keras.Model(picture, layers.Flatten()(layers.Conv2D(2, 3)(x))))
    trunk = build_trunk(spec_of(saved(model, tmp_path, ".h5")))
    assert trunk.size == (20, 28)


@pytest.mark.parametrize("shape", [(SIDE, SIDE, 1), (SIDE, SIDE)], ids=["one channel", "no channels"])
def test_gray_is_what_keras_loads_as_gray(shape: tuple[int, ...], tmp_path: Path) -> None:
    from PIL import Image

    picture = tf_keras.Input(shape)
    x = layers.Dense(6)(layers.Flatten()(picture))
    model = randomized(tf_keras.Model(picture, x))
    path = saved(model, tmp_path, ".h5")
    given = pictures()
    gray = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in given]).reshape(3, *shape)
    spec = spec_of(path, preprocess="unit")
    assert build_trunk(spec).color == "gray"
    close(outputs(spec, given), model.predict(gray / 255, verbose=0))


def test_weights_written_on_windows_by_keras_2_13_are_found(tmp_path: Path) -> None:
    """Its groups had backslashes in their names, and it counted layers with weights twice."""
    model = randomized(
        tf_keras.Sequential(
            [layers.Rescaling(1 / 255, input_shape=(SIDE, SIDE, 3))]
            + [layer for _ in range(3) for layer in (layers.Conv2D(4, 3), layers.ReLU())]
        )
    )
    path = saved(model, tmp_path, ".keras")
    other = tmp_path / "windows.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            if name != "model.weights.h5":
                new.writestr(name, old.read(name))
        (tmp_path / "weights.h5").write_bytes(old.read("model.weights.h5"))
        with h5py.File(tmp_path / "weights.h5") as weights, h5py.File(tmp_path / "new.h5", "w") as target:
            for index in range(3):
                source = f"layers/conv2d{f'_{index}' if index else ''}/vars"
                place = f"_layer_checkpoint_dependencies\\conv2d{f'_{2 * index}' if index else ''}"
                for key in weights[source]:
                    target[f"{place}/vars/{key}"] = weights[f"{source}/{key}"][()]
        new.write(tmp_path / "new.h5", "model.weights.h5")
    given = pictures()
    close(outputs(spec_of(other), given), model.predict(given, verbose=0))


def test_a_file_is_recognized_by_its_content(tmp_path: Path) -> None:
    model = randomized(tutorial())
    archive, hdf5 = saved(model, tmp_path, ".keras"), saved(model, tmp_path, ".h5")
    shutil.copy(hdf5, tmp_path / "hdf5.keras")
    shutil.copy(archive, tmp_path / "archive.h5")
    given = pictures()
    for name in ("hdf5.keras", "archive.h5"):
        close(outputs(spec_of(tmp_path / name), given), model.predict(given, verbose=0))


def test_a_savedmodel_without_keras_is_its_signature(tmp_path: Path) -> None:
    kernel = tf.Variable(np.random.default_rng(0).uniform(-1, 1, (3, 3, 3, 4)).astype(np.float32))

    class Module(tf.Module):  # type: ignore[misc]  # tensorflow has no types
        @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="photo")])
        def __call__(self, photo: Any) -> Any:
            return {"feature": tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(photo, self.kernel, 1, "SAME")), [1, 2])}

    module = Module()
    module.kernel = kernel
    tf.saved_model.save(module, str(tmp_path / "net"), signatures=module.__call__)
    given = pictures()
    spec = spec_of(tmp_path / "net", preprocess="unit")
    expected = np.asarray(module(tf.constant(given / 255, tf.float32))["feature"])
    close(outputs(spec, given), expected)
    assert [layer.name for layer in list_layers(spec).layers] == ["photo", "serving_default", "feature"]


def test_a_siamese_pair_is_cut_in_its_encoder(tmp_path: Path) -> None:
    shared = encoder()
    left, right = (layers.Input((SIDE, SIDE, 3), name=name) for name in ("left", "right"))
    x = layers.Subtract(name="difference")([shared(left), shared(right)])
    model = randomized(tf_keras.Model([left, right], layers.Dense(1)(layers.GlobalAveragePooling2D()(x))))
    path = saved(model, tmp_path, ".h5")
    with pytest.raises(ArgumentError, match=r"has 2 inputs, left, right.*--layer encoder"):
        build_trunk(spec_of(path, preprocess="raw"))
    given = pictures()
    for layer in ("encoder", "encoder/norm"):
        spec = spec_of(path, preprocess="raw", layers=(layer,))
        close(outputs(spec, given), shared.predict(given, verbose=0))


def two_inputs(tmp_path: Path) -> tuple[Any, Path]:
    picture, speed = layers.Input((SIDE, SIDE, 3), name="camera"), layers.Input((2,), name="speed")
    x = layers.Flatten(name="flat")(layers.Conv2D(2, 3, strides=3, name="maps")(picture))
    x = layers.Concatenate(name="joined")([x, layers.Dense(3, name="faster")(speed)])
    model = randomized(tf_keras.Model([picture, speed], layers.Dense(4, name="wheel")(x)))
    return model, saved(model, tmp_path, ".keras")


def test_a_second_input_is_cut_off_or_fixed(tmp_path: Path) -> None:
    model, path = two_inputs(tmp_path)
    given = pictures()
    with pytest.raises(
        ArgumentError,
        match=r"requires camera, speed.*--layer flat; or fix the inputs that are not images.*--input speed=0,0",
    ):
        build_trunk(spec_of(path, preprocess="unit"))
    cut = tf_keras.Model(model.inputs[0], model.get_layer("flat").output)
    spec = spec_of(path, preprocess="unit", layers=("flat",))
    close(outputs(spec, given), cut.predict(given / 255, verbose=0))
    speeds = np.tile(np.asarray([[3, -1]], np.float32), (3, 1))
    spec = spec_of(path, preprocess="unit", inputs={"speed": (3.0, -1.0)})
    close(outputs(spec, given), model.predict([given / 255, speeds], verbose=0))


def test_what_a_layer_needs_is_listed(tmp_path: Path) -> None:
    _, path = two_inputs(tmp_path)
    needs = {layer.name: layer.inputs for layer in list_layers(spec_of(path)).layers}
    assert needs["flat"] == ("camera",)
    assert needs["faster"] == ("speed",)
    assert needs["joined"] == needs["wheel"] == ("camera", "speed")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": ("faster",)}, "requires speed"),
        ({"inputs": {"sped": (1.0,)}}, r"input 'sped' is not in .*allowed: camera, speed"),
        ({"inputs": {"speed": (1.0, 2.0, 3.0)}}, "takes 2 numbers, not 3"),
        ({"inputs": {"speed": (0.0,), "camera": (0.0,)}}, "fixes all of camera, speed"),
    ],
)
def test_other_inputs_are_refused_in_words(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    _, path = two_inputs(tmp_path)
    with pytest.raises(ArgumentError, match=said):
        build_trunk(spec_of(path, preprocess="unit", **options))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((784,), "perhaps a 28x28 image as 784 numbers"),
        ((3, 24, 24), "channels first"),
        ((24, 24, 4), "4 channels"),
        ((100, 6), r"takes \(None, 100, 6\)"),
    ],
)
def test_an_input_that_is_not_an_image_is_refused(shape: tuple[int, ...], said: str, tmp_path: Path) -> None:
    given = tf_keras.Input(shape)
    model = tf_keras.Model(given, layers.Dense(2)(layers.Flatten()(given)))
    with pytest.raises(ArgumentError, match=said):
        build_trunk(spec_of(saved(model, tmp_path, ".h5"), preprocess="unit"))


def test_channels_first_is_refused_by_layer(tmp_path: Path) -> None:
    given = tf_keras.Input((SIDE, SIDE, 3))
    x = layers.Permute((3, 1, 2))(given)
    model = tf_keras.Model(given, layers.GlobalAveragePooling2D("channels_first", name="turned")(x))
    with pytest.raises(ArgumentError, match="layer 'turned' has data_format channels_first"):
        build_trunk(spec_of(saved(model, tmp_path, ".h5"), preprocess="unit"))


def test_a_file_with_only_weights_is_refused_as_that(tmp_path: Path) -> None:
    tutorial().save_weights(tmp_path / "my.weights.h5")
    with pytest.raises(ArgumentError, match=r"contains only weights.*edgefeat export BACKBONE --weights"):
        build_trunk(spec_of(tmp_path / "my.weights.h5"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.keras", b"", "is empty"),
        ("a.h5", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("a.h5", b"<!DOCTYPE html><html>", "is a web page"),
        ("a.tflite", b"\x1c\0\0\0TFL3", "is a TFLite file"),
        ("a/model.onnx", b"\x08\x07", "is an ONNX file"),
        ("a.h5", b"\xef\xbf\xbdHDF\n\x1a\n", "damaged by saving it as text"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "not a valid HDF5 file"),
        ("a.keras", b"PK\x03\x04" + bytes(40), r"not a valid \.keras archive"),
    ],
)
def test_a_file_that_is_not_a_keras_model_is_refused_in_one_line(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ExportError, match=said) as error:
        build_trunk(spec_of(path))
    assert "\n" not in str(error.value)


def test_a_folder_that_holds_a_model_names_it(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    saved(tutorial(), tmp_path / "export", ".h5")
    (tmp_path / "export" / "labels.txt").write_text("0 cat\n1 dog\n")
    with pytest.raises(ArgumentError, match=r"not a SavedModel; it contains net\.h5: use that path"):
        build_trunk(spec_of(tmp_path / "export"))
    assert build_trunk(spec_of(tmp_path / "export" / "net.h5")).layers == ("classes",)
    with zipfile.ZipFile(tmp_path / "converted_keras.zip", "w") as archive:
        archive.write(tmp_path / "export" / "net.h5", "net.h5")
    with pytest.raises(ArgumentError, match=r"an archive that contains a model: unpack it and use net\.h5"):
        build_trunk(spec_of(tmp_path / "converted_keras.zip"))
