"""Models of TensorFlow.js: layers and a list of weights in `model.json`, the weights in files beside it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tf_keras
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.export.models.networks.code_models import nested
from tests.export.models.networks.converted_models import converted
from tests.export.models.networks.keras2_models import SIDE, close, outputs, pictures, randomized, spec_of, tutorial

from edgefeat import ArgumentError, EdgefeatError, ExportError
from edgefeat_export._commands.layers import command as layers_command
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._spec import NetworkSpec

LIBRARIES = {"Keras 3": keras, "Keras 2": tf_keras}
both = pytest.mark.parametrize("library", LIBRARIES.values(), ids=list(LIBRARIES))

#: Written by TensorFlow.js, with its own outputs (make.mjs).
ITS_OWN = Path(__file__).parents[2] / "data" / "tensorflowjs"
BY_ITSELF = json.loads((ITS_OWN / "outputs.json").read_text())
CLASSES, POOLED = np.reshape(BY_ITSELF["classes"], (2, 3)), np.reshape(BY_ITSELF["pooled"], (2, 5))
PIXELS = (np.arange(2 * 16 * 16 * 3) * 37 % 251).astype(np.uint8).reshape(2, 16, 16, 3)


@pytest.fixture(autouse=True)
def seed() -> None:
    for library in LIBRARIES.values():
        library.utils.set_random_seed(5)
        library.backend.clear_session()


def small(library: Any) -> Any:
    """Return a chain with every kind of weight that features need, in an inner model and outside."""
    layers = library.layers
    inside = library.Input((SIDE, SIDE, 3), name="inside")
    x = layers.SeparableConv2D(4, 3, name="separable")(layers.BatchNormalization(name="norm")(inside))
    inner = library.Model(inside, layers.DepthwiseConv2D(3, name="depthwise")(x), name="inner")
    photo = library.Input((SIDE, SIDE, 3), name="photo")
    x = layers.GlobalAveragePooling2D(name="pooled")(layers.ReLU(name="relu")(inner(photo)))
    return randomized(library.Model(photo, layers.Dense(5, name="classes")(x)))


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def expected(model: Any, given: Any) -> Any:
    return model.predict(given.astype(np.float32), verbose=0)


def whole(path: Path, **options: Any) -> NetworkSpec:
    return spec_of(path, **{"preprocess": "raw"} | options)


def test_a_model_of_teachable_machines_kind_gives_what_tensorflowjs_gives() -> None:
    spec = whole(ITS_OWN / "model.json", preprocess="tf")
    close(outputs(spec, PIXELS), CLASSES)
    close(outputs(replace(spec, layers=("pooled",)), PIXELS), POOLED)


@both
@pytest.mark.parametrize("shards", [1, 3])
def test_a_converted_model_is_that_of_keras(library: Any, shards: int, tmp_path: Path) -> None:
    model = small(library)
    path = converted(model, tmp_path / "net", shards=shards)
    close(outputs(whole(path), pictures()), expected(model, pictures()))


def test_a_models_own_scaling_is_found(tmp_path: Path) -> None:
    model = randomized(tutorial())
    path = converted(model, tmp_path / "net")
    close(outputs(whole(path, preprocess=None), pictures()), expected(model, pictures()))


@both
def test_layers_with_code_are_left_out(library: Any, tmp_path: Path) -> None:
    model = randomized(nested(library))
    listed = list_layers(NetworkSpec(str(converted(model, tmp_path / "net")), weights="random"))
    assert listed.left_out
    assert "inner/point" in {one.name for one in listed.layers}
    inner = model.get_layer("inner")
    within = library.Model(inner.inputs, inner.get_layer("point").output)
    cut = library.Model(model.inputs, within(model.get_layer("first").output))
    spec = whole(tmp_path / "net" / "model.json", layers=("inner/point",))
    close(outputs(spec, pictures()), expected(cut, pictures()))


@pytest.mark.parametrize(("quantized", "error"), [("float16", 2e-3), ("uint16", 2e-3), ("uint8", 0.2)])
def test_quantized_weights_become_floats(quantized: str, error: float, tmp_path: Path) -> None:
    model = small(tf_keras)
    found = outputs(whole(converted(model, tmp_path / "net", quantized=quantized)), pictures())
    reference = expected(model, pictures())
    assert 0 < np.abs(found - reference).max() < error * np.abs(reference).max()


@pytest.mark.parametrize("key", ["batchInputShape", "batch_input_shape"])
def test_the_input_of_keras_3_may_be_patched_for_tensorflowjs(key: str, tmp_path: Path) -> None:
    """TensorFlow.js does not know `batch_shape`, so people rename it."""
    model = small(keras)
    path = converted(model, tmp_path / "net")
    path.write_text(path.read_text().replace('"batch_shape"', f'"{key}"'))
    close(outputs(whole(path), pictures()), expected(model, pictures()))


@pytest.mark.parametrize("prefix", ["", "model/", "a/b/"])
def test_names_of_models_around_a_weight_do_not_matter(prefix: str, tmp_path: Path) -> None:
    model = small(keras)
    path = converted(model, tmp_path / "net")

    def rename(content: Any) -> None:
        for entry in content["weightsManifest"][0]["weights"]:
            entry["name"] = prefix + "/".join(entry["name"].split("/")[-2:])

    edit(path, rename)
    close(outputs(whole(path), pictures()), expected(model, pictures()))


@both
def test_layers_are_listed_without_the_weights(library: Any, tmp_path: Path) -> None:
    path = converted(small(library), tmp_path / "net")
    (path.parent / "group1-shard1of1.bin").unlink()
    result = CliRunner().invoke(layers_command, [str(path)])
    assert result.exit_code == 0, result.output
    assert "inner/depthwise" in result.output


def damaged(path: Path) -> list[tuple[str, Any]]:
    """Return what may be wrong with the files, each with the beginning of the error."""
    weights = path.parent / "group1-shard1of1.bin"

    def first(content: Any) -> Any:
        return content["weightsManifest"][0]["weights"][0]

    def paths(content: Any) -> Any:
        return content["weightsManifest"][0]["paths"]

    return [
        ("is incomplete: group1-shard1of1.bin, with its weights, is missing", lambda _: weights.unlink()),
        ("is incomplete: its files of weights have 5 bytes", lambda _: weights.write_bytes(b"12345")),
        ("it lists no weights for 'classes/bias'", lambda content: first(content).update(name="classes/x")),
        ("the weights 'classes/bias' have", lambda content: first(content).update(shape=[1, 5])),
        (
            "the weights 'classes/bias' contain values that are not",
            lambda content: first(content).update(dtype="int32"),
        ),
        ("the list of its weights is damaged", lambda content: first(content).update(shape="5")),
        ("the list of its weights is damaged", lambda content: content["weightsManifest"][0].update(paths="a.bin")),
        ("it lists the weights 'classes/kernel' twice", lambda content: first(content).update(name="classes/kernel")),
        (
            "takes its weights from '../a.bin'",
            lambda content: paths(content).append("../a.bin"),
        ),
        (
            "takes its weights from '/etc/passwd'",
            lambda content: paths(content).insert(0, "/etc/passwd"),
        ),
        ("the list of its weights is damaged", lambda content: first(content).update(shape=[-5])),
        ("the list of its weights is damaged", lambda content: first(content).update(dtype="float8")),
        ("'classes/bias' are of type string", lambda content: first(content).update(dtype="string")),
        ("the list of its weights is damaged", lambda content: content.pop("weightsManifest")),
        ("the list of its weights is damaged", lambda content: content.update(weightsManifest=[1])),
    ]


@pytest.mark.parametrize("number", range(15))
def test_what_is_wrong_with_the_files_is_said(number: int, tmp_path: Path) -> None:
    path = converted(small(tf_keras), tmp_path / "net")
    message, change = damaged(path)[number]
    edit(path, change)
    with pytest.raises(ExportError) as caught:
        build_trunk(whole(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@both
def test_weights_that_are_not_finite_are_refused(library: Any, tmp_path: Path) -> None:
    model = small(library)
    model.get_layer("classes").set_weights([np.full(w.shape, np.nan) for w in model.get_layer("classes").get_weights()])
    with pytest.raises(ExportError, match=r"the weights 'classes/\w+' contain values that are not finite numbers"):
        build_trunk(whole(converted(model, tmp_path / "net")))


def test_a_byte_order_mark_is_no_part_of_the_layers(tmp_path: Path) -> None:
    shutil.copytree(ITS_OWN, tmp_path / "net")
    path = tmp_path / "net" / "model.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    close(outputs(whole(path, preprocess="tf"), PIXELS), CLASSES)


@both
def test_weights_of_two_layers_of_one_name_are_not_confused(library: Any, tmp_path: Path) -> None:
    """HDF5 has a group for each inner model, but the list of TensorFlow.js has only the names of layers."""
    layers = library.layers

    def inner(name: str) -> Any:
        inside = library.Input((SIDE, SIDE, 3))
        convolved = layers.Conv2D(3, 3, padding="same", name="same")(inside)
        return library.Model(inside, convolved, name=name)

    photo = library.Input((SIDE, SIDE, 3), name="photo")
    path = converted(randomized(library.Model(photo, inner("two")(inner("one")(photo)))), tmp_path / "net")
    with pytest.raises(ExportError, match=r"two layers have the weights 'same/kernel': rename one"):
        build_trunk(whole(path))


def test_a_link_in_place_of_a_file_of_weights_is_refused(tmp_path: Path) -> None:
    path = converted(small(tf_keras), tmp_path / "net")
    weights = path.parent / "group1-shard1of1.bin"
    weights.rename(tmp_path / "elsewhere.bin")
    weights.symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(ExportError, match=r"takes its weights from 'group1-shard1of1\.bin' \(allowed: files in"):
        build_trunk(whole(path))


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = converted(small(tf_keras), tmp_path / "net")
    with pytest.raises(ArgumentError, match="is used with its saved weights: leave --weights out"):
        build_trunk(whole(path, weights="other.h5"))


def test_the_folder_is_enough() -> None:
    close(outputs(whole(ITS_OWN, preprocess="tf"), PIXELS), CLASSES)


def test_layers_without_weights_are_no_model_of_their_folder(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(small(tf_keras).to_json())
    with pytest.raises(ArgumentError, match=r"it contains model\.json: use that path"):
        build_trunk(whole(tmp_path))


def test_an_archive_leads_to_the_model(tmp_path: Path) -> None:
    path = converted(small(tf_keras), tmp_path / "net")
    archive = shutil.make_archive(str(tmp_path / "tm-my-image-model"), "zip", path.parent)
    with pytest.raises(ArgumentError, match=r"is an archive that contains a model: unpack it and use model\.json"):
        build_trunk(whole(Path(archive)))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_change_of_the_list_is_loaded_or_one_clear_error(data: st.DataObject, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("changed") / "net"
    shutil.copytree(ITS_OWN, folder)
    path = folder / "model.json"
    content = json.loads(path.read_text())
    place: Any = content["weightsManifest"]
    while isinstance(place, dict | list) and place:
        parent = place
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        place = place[key]
        if data.draw(st.booleans()):
            break
    values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
    parent[key] = data.draw(values)
    path.write_text(json.dumps(content))
    try:
        found = outputs(whole(path, preprocess="tf"), PIXELS)
    except EdgefeatError:
        return
    close(found, CLASSES)
