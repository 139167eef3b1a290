"""Saved models of Keras 2, made by tf-keras in every format: the exported network computes what tf-keras computes."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
import tf_keras
from tests.export.models.networks.keras2_models import (
    SIDE,
    close,
    outputs,
    pictures,
    randomized,
    saved,
    spec_of,
    tutorial,
)
from tf_keras import layers

from edgefeat import ExportError
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk


@pytest.fixture(autouse=True)
def seed() -> None:
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(3)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Path]]:
    """The tutorials' model, and its file in each format."""
    model, folder = randomized(tutorial()), tmp_path_factory.mktemp("kept")
    return model, {form: saved(model, folder, form) for form in (".h5", ".keras", "")}


@pytest.mark.parametrize("form", [".h5", ".keras", ""])
def test_every_format_gives_what_tf_keras_gives(form: str, kept: tuple[Any, dict[str, Path]]) -> None:
    model, path = kept[0], kept[1][form]
    given = pictures()
    close(outputs(spec_of(path), given), model.predict(given, verbose=0))
    trunk = build_trunk(spec_of(path))
    assert trunk.layers == ("classes",)
    assert "tf.math.truediv, tf.math.subtract" in trunk.notes[0]


@pytest.mark.parametrize("form", [".h5", ".keras", ""])
@pytest.mark.parametrize("layer", ["pooled", "encoder", "encoder/separable", "depth/wise"])
def test_a_cut_anywhere_is_that_of_tf_keras(layer: str, form: str, kept: tuple[Any, dict[str, Path]]) -> None:
    model, path = kept[0], kept[1][form]
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


@pytest.mark.parametrize(
    "damage",
    [
        lambda node: node.__setitem__(0, "pooled"),  # of itself
        lambda node: node.__setitem__(1, 7),  # a call that is not there
        lambda node: node.__setitem__(1, "7"),
        lambda node: node.__setitem__(0, "nowhere"),
    ],
)
def test_a_layer_that_nothing_calls_does_not_wait_without_end(
    damage: Callable[[list[Any]], None], kept: tuple[Any, dict[str, Path]], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.h5"
    shutil.copy(kept[1][".h5"], path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layer = next(layer for layer in config["config"]["layers"] if layer["name"] == "pooled")
        damage(layer["inbound_nodes"][0][0])
        file.attrs["model_config"] = json.dumps(config).encode()
    with pytest.raises(ExportError, match="damaged: 'pooled' is called on a tensor that no layer gives"):
        build_trunk(spec_of(path))
