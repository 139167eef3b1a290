"""Models saved in parts: layers in JSON and weights in HDF5, and the folder of an unpacked archive."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tf_keras
from tests.export.models.networks.keras2_models import SIDE, close, outputs, pictures, randomized, spec_of

import edgefeat_export
from edgefeat import ArgumentError, ExportError
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._spec import NetworkSpec

LIBRARIES = {"Keras 3": keras, "Keras 2": tf_keras}
both = pytest.mark.parametrize("library", LIBRARIES.values(), ids=list(LIBRARIES))


def network(library: Any) -> Any:
    """Return a network with an inner model, layers alike, and code at its end."""
    layers = library.layers
    inside = library.Input((SIDE, SIDE, 4), name="inside")
    inner = library.Model(inside, layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3)(inside)), name="inner")
    photo = library.Input((SIDE, SIDE, 3), name="photo")
    x = inner(layers.Conv2D(4, 3, padding="same", name="first")(photo))
    x = layers.Conv2D(4, 3, name="last")(x)
    doubled = layers.Lambda(lambda x: x * 2.0, name="double", output_shape=(SIDE - 4, SIDE - 4, 4))
    return randomized(library.Model(photo, doubled(x)))


def in_parts(model: Any, folder: Path, suffix: str) -> tuple[Path, Path]:
    layers, weights = folder / "net.json", folder / f"net{suffix}"
    layers.write_text(model.to_json())
    model.save_weights(weights)
    return layers, weights


def spec(layers: Path, weights: Path | str | None) -> NetworkSpec:
    return replace(
        spec_of(layers, layers=("last",), preprocess="raw"), weights=None if weights is None else str(weights)
    )


@pytest.fixture(autouse=True)
def seed() -> None:
    for library in LIBRARIES.values():
        library.utils.set_random_seed(5)
        library.backend.clear_session()


@pytest.mark.parametrize(("library", "suffix"), [(keras, ".weights.h5"), (tf_keras, ".h5"), (tf_keras, ".weights.h5")])
@pytest.mark.parametrize("twice", [False, True], ids=["JSON", "JSON in JSON"])
def test_layers_and_weights_are_the_model_of_keras(library: Any, suffix: str, twice: bool, tmp_path: Path) -> None:
    model = network(library)
    layers, weights = in_parts(model, tmp_path, suffix)
    if twice:  # json.dump(model.to_json(), file)
        layers.write_text(json.dumps(layers.read_text()))
    cut = library.Model(model.inputs, model.get_layer("last").output)
    close(outputs(spec(layers, weights), pictures()), cut.predict(pictures().astype(np.float32), verbose=0))


@pytest.mark.parametrize(("library", "suffix"), [(keras, ".weights.h5"), (tf_keras, ".h5"), (tf_keras, ".weights.h5")])
def test_layers_need_not_say_the_version_of_keras(library: Any, suffix: str, tmp_path: Path) -> None:
    model = network(library)
    layers, weights = in_parts(model, tmp_path, suffix)
    config = json.loads(layers.read_text())
    layers.write_text(json.dumps({key: value for key, value in config.items() if key != "keras_version"}))
    cut = library.Model(model.inputs, model.get_layer("last").output)
    close(outputs(spec(layers, weights), pictures()), cut.predict(pictures().astype(np.float32), verbose=0))


def test_an_unpacked_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    network(keras).save(tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras") as archive:
        archive.extractall(tmp_path / "unpacked")
    (tmp_path / "unpacked" / "model.weights.h5").rename(tmp_path / "elsewhere.h5")
    (tmp_path / "unpacked" / "model.weights.h5").symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(ExportError, match=r"contains a link, 'model\.weights\.h5'"):
        build_trunk(spec(tmp_path / "unpacked", None))


@both
def test_the_weights_may_be_those_of_a_whole_model(library: Any, tmp_path: Path) -> None:
    model = network(library)
    layers, weights = tmp_path / "net.json", tmp_path / "whole.h5"
    layers.write_text(model.to_json())
    model.save(weights)
    cut = library.Model(model.inputs, model.get_layer("last").output)
    close(outputs(spec(layers, weights), pictures()), cut.predict(pictures().astype(np.float32), verbose=0))


@both
def test_an_unpacked_archive_is_the_model_in_it(library: Any, tmp_path: Path) -> None:
    model = network(library)
    model.save(tmp_path / "net.keras")
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "net.keras") as archive:
        archive.extractall(folder)
    cut = library.Model(model.inputs, model.get_layer("last").output)
    close(outputs(spec(folder, None), pictures()), cut.predict(pictures().astype(np.float32), verbose=0))


@both
def test_layers_are_listed_without_weights(library: Any, tmp_path: Path) -> None:
    layers, _ = in_parts(network(library), tmp_path, ".weights.h5")
    listed = list_layers(NetworkSpec(str(layers), weights="random"))
    assert [layer.name for layer in listed.layers][-1] == "last"
    assert len(listed.left_out) == 1


def test_layers_without_weights_are_refused_with_the_option_that_is_missing(tmp_path: Path) -> None:
    layers, _ = in_parts(network(tf_keras), tmp_path, ".h5")
    with pytest.raises(ArgumentError, match=r"net\.json contains layers without weights: .* --weights FILE\.h5"):
        build_trunk(spec(layers, None))


def test_weights_of_another_network_are_refused_by_the_name_that_was_given(tmp_path: Path) -> None:
    layers, _ = in_parts(network(tf_keras), tmp_path, ".h5")
    other = tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.h5")
    with pytest.raises(ExportError, match=rf"^model {layers}") as caught:
        build_trunk(spec(layers, tmp_path / "other.h5"))
    assert "edgefeat-" not in str(caught.value)


def test_weights_that_lead_to_another_file_are_refused(tmp_path: Path) -> None:
    layers, weights = in_parts(network(tf_keras), tmp_path, ".h5")
    with h5py.File(weights, "r+") as file:
        del file["last"]
        file["last"] = h5py.ExternalLink(str(tmp_path / "secret"), "/last")
    with pytest.raises(ExportError, match="link"):
        build_trunk(spec(layers, weights))


@pytest.mark.parametrize("text", ['{"a": 1}', "{", '"{"', '{"class_name": 1, "config": {}}'])
def test_other_json_is_not_a_model(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ExportError, match=r"is not the description of a Keras model that model\.to_json\(\) gives"):
        build_trunk(spec(tmp_path / "other.json", None))


def test_a_bundle_names_the_file_of_its_weights(tmp_path: Path) -> None:
    layers, weights = in_parts(network(tf_keras), tmp_path, ".h5")
    extractor = edgefeat_export.export(
        layers,
        tmp_path / "net.edgefeat",
        weights=weights,
        preprocess="unit",
        layers=["last"],
        variants=["tflite-float32"],
    )
    assert extractor.bundle.manifest.backbone.name == "net"
    assert extractor.bundle.manifest.backbone.weights == "file net.h5"
