"""Weights from files: each kind gives its numbers; what does not fit is named; what is hostile or broken is refused."""

from __future__ import annotations

import functools
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import h5py
import keras
from keras import layers
from safetensors.numpy import save_file

import edgefeat_export
from edgefeat import ArgumentError, ExportError
from edgefeat_export import _hdf5, _trunk
from edgefeat_export._backbones import Backbone, backbone_named, backbones
from edgefeat_export._spec import NetworkSpec
from edgefeat_export._trunk import build_trunk
from edgefeat_export._weights import load_weights


def spec(backbone: str, weights: str | None, *cuts: str, size: tuple[int, int] | None = (32, 32)) -> NetworkSpec:
    return NetworkSpec(
        backbone=backbone,
        weights=weights,
        size=size,
        layers=cuts,
    )


def network(seed: int, *, filters: int = 8, top: bool = False, prefix: str = "") -> keras.Model:
    """A small network with layers whose weights come in every order that there is."""
    keras.utils.set_random_seed(seed)
    source = keras.Input((16, 16, 3))
    pixels = layers.Normalization(name=prefix + "pixels")
    pixels.adapt(np.random.default_rng(seed).normal(seed, 2, (2, 16, 16, 3)))
    x = pixels(source)
    x = layers.Conv2D(filters, 3, name=prefix + "conv1")(x)
    x = layers.BatchNormalization(name=prefix + "norm1", beta_initializer="random_normal")(x)
    x = layers.ReLU(name=prefix + "relu1")(x)
    x = layers.SeparableConv2D(filters, 3, name=prefix + "conv2")(x)
    inner = keras.Sequential(
        [layers.Conv2D(8, 1), layers.BatchNormalization(), layers.Conv2D(8, 1)], name=prefix + "inner"
    )
    x = layers.Conv2D(16, 3, use_bias=False, name=prefix + "conv3")(inner(x))
    if top:
        x = layers.GlobalAveragePooling2D(name=prefix + "mean")(x)
        x = layers.Dense(5, name=prefix + "classes")(x)
    return keras.Model(source, x, name="small")


def write_old(model: keras.Model, path: Path, *, group: str = "/", pieces: bool = False) -> None:
    """As Keras 1 and 2 write weights: names in attributes, in pieces where they are many, arrays below them."""
    with h5py.File(path, "w") as file:
        parent = file.require_group(group)
        names = [layer.name.encode() for layer in model.layers]
        if pieces:
            parent.attrs["layer_names0"], parent.attrs["layer_names1"] = names[:3], names[3:]
        else:
            parent.attrs["layer_names"] = names
        parent.attrs["keras_version"] = b"2.2.4"
        for layer in model.layers:
            weights = [*layer.trainable_weights, *layer.non_trainable_weights]
            home = parent.create_group(layer.name)
            home.attrs["weight_names"] = [f"{weight.path}:0".encode() for weight in weights]
            for weight in weights:
                home[f"{weight.path}:0"] = weight.numpy()


def save_new(model: keras.Model, path: Path) -> None:
    model.save_weights(path)


def save_whole(model: keras.Model, path: Path) -> None:
    model.save(path)


def write_old_whole(model: keras.Model, path: Path) -> None:
    write_old(model, path, group="/model_weights")


def write_old_pieces(model: keras.Model, path: Path) -> None:
    write_old(model, path, pieces=True)


@pytest.fixture
def apart() -> None:
    """Files are listed in another process, as they always are outside of these tests."""


@pytest.fixture(autouse=True)
def _in_one_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each file is for the few that hang; here it would take longer than all else."""
    if "apart" not in request.fixturenames:
        monkeypatch.setattr(_hdf5, "_list_apart", _hdf5._list)


KINDS: dict[str, tuple[str, Callable[[keras.Model, Path], None]]] = {
    "new weights": ("a.weights.h5", save_new),
    "whole model": ("a.keras", save_whole),
    "whole model as h5": ("a.h5", save_whole),
    "old weights": ("a.h5", write_old),
    "old weights, many names": ("a.hdf5", write_old_pieces),
    "old whole model": ("a.H5", write_old_whole),
}


def same(a: keras.Model, b: keras.Model) -> bool:
    pairs = zip(a.get_weights(), b.get_weights(), strict=False)
    return all(np.array_equal(one, other) for one, other in pairs)


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
        ArgumentError, match=r"the file (ends before|has no 'dense' for) its layer 'classes', \(16, 5\)"
    ):
        load_weights(network(2, top=True), str(tmp_path / name), None)


def test_a_deeper_network_is_not_taken_for_its_beginning(tmp_path: Path) -> None:
    """VGG19's file has every layer of VGG16, name and shape."""

    def vgg(*names: str) -> keras.Model:
        return keras.Sequential(
            [keras.Input((8, 8, 3)), *(layers.Conv2D(3, 1, name=name) for name in names)], name="vgg"
        )

    write_old(vgg("a1", "a2", "a3", "b1"), tmp_path / "deep.h5")
    with pytest.raises(ArgumentError, match=r"goes on with 'a3', \(1, 1, 3, 3\), \(3,\), where the network has 'b1'"):
        load_weights(vgg("a1", "a2", "b1"), str(tmp_path / "deep.h5"), None)


class Canary:
    """What pickle makes of this touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mknod, (str(self.path),))


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "pkl", "ckpt", "npy", "npz"])
def test_pickles_are_refused_with_the_way_out(suffix: str, tmp_path: Path) -> None:
    file, canary = tmp_path / f"alex.{suffix}", tmp_path / "canary"
    file.write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ArgumentError, match=rf"may be pickled.*save_file.*'alex\.{suffix}'.*'alex\.safetensors'"):
        build_trunk(spec("alexnet", str(file), size=None))
    assert not canary.exists()


@pytest.mark.parametrize("suffix", ["h5", "keras", "safetensors", "hdf5"])
@pytest.mark.parametrize("content", ["pickle", "torch", "text", "empty", "directory"])
def test_other_things_of_that_suffix_are_refused(suffix: str, content: str, tmp_path: Path) -> None:
    file, canary = tmp_path / f"alex.{suffix}", tmp_path / "canary"
    if content == "directory":
        file.mkdir()
    elif content == "torch":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Canary(canary)))
    else:
        file.write_bytes(
            {"pickle": pickle.dumps(Canary(canary)), "text": b"version https://git", "empty": b""}[content]
        )
    with pytest.raises((ArgumentError, ExportError), match=r"weights .*alex.* (cannot be read: it is|do not exist)"):
        build_trunk(spec("alexnet", str(file), size=(63, 63)))
    assert not canary.exists()


def lambda_model(canary: Path) -> keras.Model:
    """`network(1)` with code in it that touches the canary."""
    base = network(1)
    code = eval(f"lambda x: (__import__('pathlib').Path({str(canary)!r}).touch(), x)[1]")  # no closure: it is saved
    return keras.Model(base.inputs, layers.Lambda(code)(base.output))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_code_in_a_file_is_never_run(suffix: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    source = lambda_model(canary)
    file = tmp_path / f"evil.{suffix}"
    source.save(file)
    canary.unlink(missing_ok=True)
    target = network(2)
    load_weights(target, str(file), None)  # numbers alone
    assert same(target, source)
    with pytest.raises(ExportError, match="whose code is not run"):
        build_trunk(spec(str(file), None, size=None))
    assert not canary.exists()
    keras.saving.load_model(file, safe_mode=False, compile=False)
    assert canary.exists(), "it would have sung"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(kind: str, kept: float, tmp_path: Path) -> None:
    name, write = KINDS[kind]
    write(network(1), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ExportError, match=r"weights .* cannot be read: it is not a whole"):
        load_weights(network(2), str(tmp_path / name), None)


def test_a_file_that_never_ends_is_refused(apart: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heap of names that leads to a name of no size, where HDF5 turns on the spot."""
    file = tmp_path / "endless.h5"
    write_old(network(1), file)
    load_weights(network(2), str(file), None)
    data = bytearray(file.read_bytes())
    # Behind the heap's 16 bytes and 8 of the first name's: its length. Now the next is among zeros.
    length = data.index(b"GCOL") + 24
    data[length : length + 2] = (3584).to_bytes(2, "little")
    file.write_bytes(data)
    monkeypatch.setattr(_hdf5, "_DEADLINE", 3.0)
    with pytest.raises(ExportError, match="HDF5 is not done with it in 3 s"):
        load_weights(network(2), str(file), None)


def hostile(path: Path, change: Callable[[h5py.Group], None]) -> None:
    """An old file whose `conv3` is what `change` makes of the group of its arrays, which is left empty."""
    write_old(network(1), path)
    with h5py.File(path, "r+") as file:
        del file["conv3/conv3/kernel:0"]
        change(file["conv3/conv3"])


def test_what_leads_to_other_files_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    shape = (3, 3, 8, 16)
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.zeros(shape, np.float32)

    def external_link(group: h5py.Group) -> None:
        group["kernel:0"] = h5py.ExternalLink(str(secret), "kernel")

    def soft_link(group: h5py.Group) -> None:
        group["kernel:0"] = h5py.SoftLink("/conv1/conv1/kernel:0")

    def external_data(group: h5py.Group) -> None:
        group.create_dataset("kernel:0", shape, np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])

    def virtual(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[:] = h5py.VirtualSource(str(secret), "kernel", shape)
        group.create_virtual_dataset("kernel:0", layout)

    for change, message in {
        external_link: "is a link",
        soft_link: "is a link",
        external_data: "from another file",
        virtual: "from another file",
    }.items():
        hostile(tmp_path / "evil.h5", change)
        with pytest.raises(ExportError, match=message):
            load_weights(network(2), str(tmp_path / "evil.h5"), None)


def test_a_group_by_a_link_is_refused(tmp_path: Path) -> None:
    secret, file = tmp_path / "secret.h5", tmp_path / "evil.weights.h5"
    save_new(network(1), tmp_path / "secret.weights.h5")
    write_old(network(1), secret)
    with h5py.File(file, "w") as evil:
        evil["layers"] = h5py.ExternalLink("secret.weights.h5", "layers")
    with pytest.raises(ExportError, match="'layers' is a link"):
        load_weights(network(2), str(file), None)
    with h5py.File(file, "w") as evil:
        evil["model_weights"] = h5py.ExternalLink("secret.h5", "/")
    with pytest.raises(ExportError, match="'model_weights' is a link"):
        load_weights(network(2), str(file), None)


def test_bombs_are_refused_unread(tmp_path: Path) -> None:
    bomb, zipped = tmp_path / "bomb.h5", tmp_path / "bomb.keras"
    hostile(bomb, lambda group: group.create_dataset("kernel:0", (1 << 14, 1 << 14, 1 << 10), "f4", chunks=True))
    with pytest.raises(ArgumentError, match=r"'conv3' has \(3, 3, 8, 16\), .* \(16384, 16384, 1024\)"):
        load_weights(network(2), str(bomb), None)
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({}))
        archive.writestr("model.weights.h5", bytes(1 << 26))
    with pytest.raises(ExportError, match=f"declares {1 << 26} bytes"):
        load_weights(network(2), str(zipped), None)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    shape = (3, 3, 8, 16)
    for values, message in (
        (np.full(shape, np.inf, np.float32), "not finite"),
        (np.full(shape, b"x"), "allowed: real numbers"),
        (np.zeros(shape, np.complex64), "allowed: real numbers"),
    ):
        hostile(tmp_path / "odd.h5", functools.partial(h5py.Group.create_dataset, name="kernel:0", data=values))
        with pytest.raises(ExportError, match=message):
            load_weights(network(2), str(tmp_path / "odd.h5"), None)


def test_what_a_file_lists_and_lacks(tmp_path: Path) -> None:
    hostile(tmp_path / "lacking.h5", lambda group: None)
    with pytest.raises(ExportError, match="lacks 'conv3/conv3/kernel:0', which it lists"):
        load_weights(network(2), str(tmp_path / "lacking.h5"), None)
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv\xfd"]
        file.create_group(b"conv\xfd")
    with pytest.raises(ExportError, match="it is not a whole HDF5 file: 'utf-8' codec"):
        load_weights(network(2), str(tmp_path / "odd.h5"), None)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ExportError, match="no weights of a Keras model"):
        load_weights(network(2), str(tmp_path / "foreign.h5"), None)


def test_what_weights_can_be(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    for weights, message in {
        "imagenette": r"allowed: imagenet, random, or a file \.h5",
        "absent.h5": "do not exist",
        str(tmp_path / "a.safetensors"): "safetensors for alexnet and googlenet",
    }.items():
        with pytest.raises(ArgumentError, match=message):
            build_trunk(spec("mobilenet", weights))
    network(1).save(tmp_path / "own.keras")
    with pytest.raises(ArgumentError, match="has the weights it was saved with: leave --weights out"):
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
def test_where_weights_came_from_in_words(backbone: str, weights: str | None, words: str) -> None:
    assert spec(backbone, weights).weights_origin == words


def factory(calls: list[tuple[Any, ...]], *, flat: bool = False) -> Callable[..., keras.Model]:
    """A network as `keras.applications` has them, whose weights "imagenet" are 7 everywhere."""

    def build(*, include_top: bool, weights: str | None, input_shape: tuple[int, int, int]) -> keras.Model:
        calls.append((include_top, weights, input_shape))
        source = keras.Input(input_shape)
        x = layers.Conv2D(4, 3, strides=8)(source)
        if include_top:
            x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D(name="avg_pool")(x)
            x = layers.Dense(6, name="fc")(x)
        model = keras.Model(source, x, name="vgg16" if flat else "round")
        if weights is not None:
            if include_top and input_shape != (224, 224, 3):
                raise ValueError(f"`input_shape` should be (224, 224, 3), not {input_shape}")
            model.set_weights([np.full(array.shape, 7.0) for array in model.get_weights()])
        return model

    return build


def test_a_cut_behind_the_trunk_brings_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    backbone = Backbone("round", factory(calls), lambda pixels: pixels, "none")
    monkeypatch.setattr(_trunk, "backbone_named", lambda name: backbone)
    trunk = build_trunk(spec("round", "random", "conv2d", size=(48, 40)))
    assert trunk.layers == ("conv2d",)
    assert not any(top for top, *_ in calls), "the top is not needed"
    trunk = build_trunk(spec("round", None, "fc", "conv2d", size=(48, 40)))
    assert trunk.size == (48, 40)
    assert [tuple(output.shape) for output in trunk.model.outputs] == [(None, 6), (None, 6, 5, 4)]
    assert all((array == 7).all() for array in trunk.model.get_weights())
    calls.clear()
    with pytest.raises(
        ArgumentError, match=r"layer 'fd' is not in round .near it: fc; the last are: .*conv2d, avg_pool, fc"
    ):
        build_trunk(spec("round", None, "fd"))
    assert not any(weights for _, weights, _ in calls), "nothing is fetched for a layer that is not there"


def test_a_top_that_sees_the_whole_map_keeps_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    backbone = Backbone("vgg16", factory(calls, flat=True), lambda pixels: pixels, "none")
    monkeypatch.setattr(_trunk, "backbone_named", lambda name: backbone)
    for weights in ("random", "imagenet"):
        with pytest.raises(ArgumentError, match="layer 'fc' of vgg16 takes pictures of 224x224 alone, not 320x320"):
            build_trunk(spec("vgg16", weights, "fc", size=(320, 320)))
        assert build_trunk(spec("vgg16", weights, "fc", size=None)).size == (224, 224)
    assert not any(top and shape[0] > 224 for top, _, shape in calls), "a dense layer of gigabytes"


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


def with_alpha(asked: NetworkSpec, alpha: float) -> NetworkSpec:
    return replace(asked, alpha=alpha)


def test_random_weights_are_the_same_whatever_was_built_before() -> None:
    asked = with_alpha(spec("mobilenet", "random"), 0.25)
    first = build_trunk(asked)
    network(5)
    again = build_trunk(asked)
    assert same(first.model, again.model)
    assert [layer.name for layer in first.model.layers] == [layer.name for layer in again.model.layers]


class SizesError(Exception):
    """Raised in place of building."""


@pytest.mark.parametrize("backbone", [entry for entry in backbones() if entry.downloads], ids=lambda entry: entry.name)
def test_sizes_are_those_of_keras(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(*_: object, default_size: int, min_size: int, **__: object) -> None:
        raise SizesError(default_size, min_size)

    module = pytest.importorskip("keras.src.applications.imagenet_utils")
    monkeypatch.setattr(module, "obtain_input_shape", tell)
    if backbone.name.startswith("mobilenet_v3"):  # the only ones that do not ask
        assert (backbone.size, backbone.smallest) == (224, 32)
        return
    with pytest.raises(SizesError) as error:
        backbone.factory(include_top=True, weights=None, input_shape=None)
    assert error.value.args == (backbone.size, backbone.smallest)


def test_the_registry_has_more_than_keras() -> None:
    names = [backbone.name for backbone in backbones()]
    assert names == sorted(names)
    assert {"alexnet", "googlenet", "vgg16", "nasnet_large", "convnext_xlarge"} <= set(names)
    assert backbone_named("GoogLeNet").name == "googlenet"
