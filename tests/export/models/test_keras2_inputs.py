"""Saved models of Keras 2 with several inputs, and files that are refused: each in words that help."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tf_keras
from tests.export.models.networks.keras2_models import (
    SIDE,
    close,
    encoder,
    outputs,
    pictures,
    randomized,
    saved,
    spec_of,
    tutorial,
)
from tf_keras import layers

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.saved.recognition import saved_model
from edgefeat_export._network.layers import list_layers
from edgefeat_export._network.named_trunk import build_trunk


@pytest.fixture(autouse=True)
def seed() -> None:
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(3)


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
        ("model.tar.gz", b"\x1f\x8b\x08\0", "is compressed: unpack it"),
        ("model.pkl", b"\x80\x05\x95", "is pickled"),
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


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_pointer_in_a_folder_is_named(name: str, tmp_path: Path) -> None:
    path = saved(tutorial(), tmp_path, "")
    (path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(ExportError, match=rf"contains, as {Path(name).name}, a Git LFS pointer.*git lfs pull"):
        build_trunk(spec_of(path))


def test_a_graph_whose_first_bytes_are_those_of_a_pickle_is_a_graph(tmp_path: Path) -> None:
    """A node of 384 bytes: a tag, which is a line feed, and a length."""
    (tmp_path / "graph.pb").write_bytes(b"\n\x80\x03" + bytes(20))
    assert saved_model(tmp_path / "graph.pb").kind == "frozen"


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
