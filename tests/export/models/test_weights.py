"""Weight files: each kind is loaded correctly, and the first mismatch is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
from keras import layers
from safetensors.numpy import save_file
from tests.export.models.networks.weight_files import KINDS, network, same, spec, with_alpha, write_old

import edgefeat_export
from edgefeat import ArgumentError, ExportError
from edgefeat._bundle.json_records import to_json
from edgefeat_export._models.weight_files import hdf5 as _hdf5
from edgefeat_export._models.weights import load_weights
from edgefeat_export._network.named_trunk import build_trunk


def _in_this_process(task: str, path: Path, *names: str) -> Any:
    return to_json(_hdf5._list(path)) if task == "list" else _hdf5._attributes(path, names)


@pytest.fixture(autouse=True)
def _in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """List files in this process: a process for each file would take longer than everything else."""
    monkeypatch.setattr(_hdf5, "_apart", _in_this_process)


@pytest.mark.parametrize("top", [False, True], ids=["bare", "with a top"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_gives_its_numbers(kind: str, top: bool, tmp_path: Path) -> None:
    name, write = KINDS[kind]
    source, target = network(1, top=top), network(2)
    assert not same(source, target)
    write(source, tmp_path / name)
    load_weights(target, str(tmp_path / name), None)
    assert same(target, source)
    pictures = np.random.default_rng(0).normal(0, 1, (2, 16, 16, 3)).astype(np.float32)
    expected = keras.Model(source.input, source.get_layer("conv3").output)(pictures)
    np.testing.assert_array_equal(target(pictures), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_keras_gave_do_not_matter(kind: str, tmp_path: Path) -> None:
    name, write = KINDS[kind]
    source, target = network(1, prefix="other_"), network(2)
    write(source, tmp_path / name)
    load_weights(target, str(tmp_path / name), None)
    assert same(target, source)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_layer_that_differs_is_named(kind: str, tmp_path: Path) -> None:
    name, write = KINDS[kind]
    write(network(1, filters=12), tmp_path / name)
    target = network(2)
    before = target.get_weights()
    with pytest.raises(ArgumentError, match=r"do not fit small: .*'conv1' has \(3, 3, 3, 8\), .*\(3, 3, 3, 12\)"):
        load_weights(target, str(tmp_path / name), None)
    assert all(map(np.array_equal, before, target.get_weights())), "half of another network"


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_too_few_is_named(kind: str, tmp_path: Path) -> None:
    name, write = KINDS[kind]
    write(network(1), tmp_path / name)
    with pytest.raises(
        ArgumentError, match=r"the file (ends before|has no 'dense' for) the network's layer 'classes', \(16, 5\)"
    ):
        load_weights(network(2, top=True), str(tmp_path / name), None)


def test_a_deeper_network_is_not_taken_for_its_beginning(tmp_path: Path) -> None:
    """VGG19's file has every layer of VGG16, name and shape."""

    def vgg(*names: str) -> keras.Model:
        return keras.Sequential(
            [keras.Input((8, 8, 3)), *(layers.Conv2D(3, 1, name=name) for name in names)], name="vgg"
        )

    write_old(vgg("a1", "a2", "a3", "b1"), tmp_path / "deep.h5")
    with pytest.raises(
        ArgumentError, match=r"next layer in the file is 'a3', \(1, 1, 3, 3\), \(3,\), but the network has 'b1'"
    ):
        load_weights(vgg("a1", "a2", "b1"), str(tmp_path / "deep.h5"), None)


def test_invalid_weights_are_refused_with_the_remedy(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    for weights, message in {
        "imagenette": r"allowed: imagenet, random, a \.h5",
        "absent.h5": "do not exist",
        str(tmp_path / "a.safetensors"): "safetensors for alexnet and googlenet",
    }.items():
        with pytest.raises(ArgumentError, match=message):
            build_trunk(spec("mobilenet", weights))
    (tmp_path / "lfs.h5").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ExportError, match="are a Git LFS pointer"):
        build_trunk(spec("mobilenet", str(tmp_path / "lfs.h5")))
    network(1).save(tmp_path / "own.keras")
    with pytest.raises(ArgumentError, match="is used with its saved weights: leave --weights out"):
        edgefeat_export.export(tmp_path / "own.keras", tmp_path / "out", weights="random")


@pytest.mark.parametrize(
    ("backbone", "weights", "words"),
    [
        ("vgg16", None, "imagenet"),
        ("vgg16", "imagenet", "imagenet"),
        ("vgg16", "random", "random, seed 0"),
        ("vgg16", "a/b.h5", "file b.h5"),
        ("a/tiny.keras", None, "file tiny.keras"),
    ],
)
def test_the_origin_of_the_weights_is_described(backbone: str, weights: str | None, words: str) -> None:
    assert spec(backbone, weights).weights_origin == words


def test_the_file_may_have_the_top_that_the_cut_needs(tmp_path: Path) -> None:
    whole = keras.applications.MobileNet(alpha=0.25, weights=None, input_shape=(32, 32, 3))
    write_old(whole, tmp_path / "top.h5")
    narrow = {"backbone": "mobilenet", "weights": str(tmp_path / "top.h5")}
    pictures = np.random.default_rng(0).normal(0, 1, (1, 32, 32, 3)).astype(np.float32)
    for cut in ((), ("conv_preds",)):
        asked = spec(narrow["backbone"], narrow["weights"], *cut)
        trunk = build_trunk(with_alpha(asked, 0.25))
        (last,) = trunk.layers
        expected = keras.Model(whole.input, whole.get_layer(last).output)(pictures)
        np.testing.assert_allclose(trunk.model([pictures]), expected, atol=1e-6)
    with pytest.raises(ArgumentError, match=r"'conv1' has \(3, 3, 3, 16\), .* \(3, 3, 3, 8\)"):
        build_trunk(with_alpha(spec(narrow["backbone"], narrow["weights"]), 0.5))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_backbone_within_a_classifier_is_found(kind: str, frozen: bool, tmp_path: Path) -> None:
    name, write = KINDS[kind]
    keras.utils.set_random_seed(3)
    base = keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25, input_shape=(32, 32, 3))
    random = np.random.default_rng(4)
    base.set_weights([random.uniform(0.1, 1, one.shape).astype(np.float32) for one in base.get_weights()])
    base.trainable = not frozen
    classifier = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), base, layers.GlobalMaxPooling2D(), layers.Dense(2)]
    )
    write(classifier, tmp_path / name)
    trunk = build_trunk(replace(spec("mobilenet", str(tmp_path / name)), alpha=0.25))
    pixels = random.normal(0, 1, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(trunk.model(pixels), base(pixels), rtol=1e-5, atol=1e-5)
    with pytest.raises(ArgumentError, match="do not fit"):
        build_trunk(replace(spec("mobilenet", str(tmp_path / name)), alpha=0.5))
