"""Cuts: the features are those of the layer, in functional, sequential and nested models, and nothing else is left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import onnx
from keras import layers

from edgefeat import ArgumentError
from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.tflite import conversion as tflite
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._network.cut import cut, layer_names

SIZE = 16


@pytest.fixture(autouse=True)
def seed() -> None:
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(5)


@pytest.fixture(scope="module")
def pictures() -> Any:
    return np.random.default_rng(0).normal(0, 1, (3, SIZE, SIZE, 3)).astype(np.float32)


def block(name: str, channels: int, filters: int, side: int | None) -> keras.Sequential:
    return keras.Sequential(
        [
            keras.Input((side, side, channels)),
            layers.DepthwiseConv2D(3, padding="same", name="depth"),
            layers.Conv2D(filters, 1, activation="relu", name="point"),
            layers.Conv2D(filters, 3, padding="same", name="wide"),
        ],
        name=name,
    )


def nested(side: int | None) -> keras.Model:
    """A functional model of a sequential in a functional, which takes pictures of `side` or of any size."""
    source = keras.Input((side, side, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(source)
    body = keras.Model(source, layers.ReLU(name="end")(block("block", 4, 8, side)(x)), name="body")
    picture = keras.Input((SIZE, SIZE, 3))
    x = layers.GlobalAveragePooling2D(name="mean")(body(picture))
    return keras.Model(picture, layers.Dense(5, name="classes")(x), name="whole")


def run(model: keras.Model, pictures: Any) -> Any:
    return np.asarray(model(pictures, training=False))


@pytest.mark.parametrize("side", [SIZE, None])
def test_a_layer_of_an_inner_model_is_named_by_its_path(side: int | None, pictures: Any) -> None:
    whole = nested(side)
    assert list(layer_names(whole))[1:] == [
        "body",
        "body/input_layer",
        "body/stem",
        "body/block",
        "body/block/depth",
        "body/block/point",
        "body/block/wide",
        "body/end",
        "mean",
        "classes",
    ]
    body = whole.get_layer("body")
    inner = body.get_layer("block")
    x = run(body.get_layer("stem"), pictures)
    expected = run(inner.get_layer("point"), run(inner.get_layer("depth"), x))
    model, names = cut(whole, ["body/block/point"])
    assert names == ("body/block/point",)
    assert model.outputs[0].shape == (None, SIZE, SIZE, 8)
    np.testing.assert_allclose(run(model, pictures), expected, rtol=1e-5, atol=1e-5)


def test_nothing_behind_the_cut_is_left() -> None:
    whole = nested(SIZE)
    model, _ = cut(whole, ["body/block/point"])
    body = whole.get_layer("body")
    kept = [body.get_layer("stem"), *body.get_layer("block").layers[:2]]
    assert model.count_params() == sum(layer.count_params() for layer in kept) < whole.count_params()


def test_a_sequential_model_is_cut_like_a_functional(pictures: Any) -> None:
    whole = keras.Sequential([keras.Input((SIZE, SIZE, 3)), block("block", 3, 4, SIZE), layers.Flatten(name="flat")])
    expected = run(whole.get_layer("block"), pictures)
    for name in ("block", "block/wide"):
        np.testing.assert_allclose(run(cut(whole, [name])[0], pictures), expected, rtol=1e-5, atol=1e-5)


def test_a_layer_called_twice_is_cut_at_its_last_call(pictures: Any) -> None:
    picture = keras.Input((SIZE, SIZE, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    elsewhere = keras.Model(picture, shared(picture))
    whole = keras.Model(picture, layers.ReLU()(shared(shared(picture))))
    shared(keras.Input((8, 8, 3)))
    expected = run(shared, run(shared, pictures))
    np.testing.assert_allclose(run(cut(whole, ["shared"])[0], pictures), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run(cut(elsewhere, ["shared"])[0], pictures), run(shared, pictures), atol=1e-5)


def test_an_inner_model_called_twice_is_cut_in_its_last_call(pictures: Any) -> None:
    picture = keras.Input((SIZE, SIZE, 3))
    twice = block("twice", 3, 3, SIZE)
    whole = keras.Model(picture, layers.ReLU()(twice(twice(picture))))
    once = run(twice, pictures)
    expected = run(twice.get_layer("point"), run(twice.get_layer("depth"), once))
    np.testing.assert_allclose(run(cut(whole, ["twice/point"])[0], pictures), expected, rtol=1e-5, atol=1e-5)


def test_without_a_name_the_whole_is_kept_and_its_last_layer_named() -> None:
    whole = nested(SIZE)
    assert cut(whole, []) == (whole, ("classes",))
    picture = keras.Input((SIZE, SIZE, 3))
    first = layers.Conv2D(2, 1)(picture)
    two = keras.Model(picture, [first, layers.ReLU()(first)], name="two")
    with pytest.raises(ArgumentError, match="two has 2 outputs: choose with --layer"):
        cut(two, [])


def operators(model: keras.Model, names: Sequence[str], folder: Path) -> tuple[int, int]:
    """How many operators the TFLite and the ONNX file of these taps have."""
    trunk, _ = cut(model, names)
    graph = save_graph(trunk, [name.replace("/", ".") for name in names], folder / "graph")
    tflite.float32(graph, folder / "model.tflite")
    to_onnx.float32(folder / "model.tflite", folder / "model.onnx")
    (subgraph,) = flatbuffer.read(folder / "model.tflite").subgraphs
    return len(subgraph.operators), len(onnx.load(folder / "model.onnx").graph.node)


@pytest.mark.parametrize("side", [SIZE, None])
def test_several_taps_share_the_trunk_in_one_file(side: int | None, tmp_path: Path) -> None:
    whole = nested(side)
    names = ["body/stem", "body/block/point", "body/end"]
    together = operators(whole, names, tmp_path)
    alone = [operators(whole, [name], tmp_path) for name in names]
    for form in (0, 1):
        assert [counts[form] for counts in alone] == sorted(counts[form] for counts in alone)
        # The deepest tap's operators are all there need be, but for a transposition out of and back into ONNX's order.
        assert together[form] <= alone[-1][form] + form * 2 * (len(names) - 1)
        assert together[form] < sum(counts[form] for counts in alone)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("stem", "body/stem"),
        ("body/blok/point", "body/block/point"),
        ("body/stem/more", "body/stem"),
        ("clases", "classes"),
        ("body//stem", "body/stem"),
    ],
)
def test_an_unknown_layer_is_refused_with_similar_names_and_the_last(name: str, near: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        cut(nested(SIZE), [name])
    text = str(caught.value)
    assert repr(name) in text
    assert near in text.partition("similar: ")[2].partition(";")[0].split(", ")
    assert text.endswith("body/end, mean, classes)")


def test_an_unknown_name_similar_to_none_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"layer 'zzzzz' is not in whole \(the last are: "):
        cut(nested(SIZE), ["zzzzz"])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ArgumentError, match="a layer is named twice: classes, mean, classes"):
        cut(nested(SIZE), ["classes", "mean", "classes"])


def test_a_layer_that_gives_several_tensors_is_refused() -> None:
    inside = keras.Input((SIZE, SIZE, 3))
    split = keras.Model(inside, [layers.ReLU(name="a")(inside), layers.ReLU(name="b")(inside)], name="split")
    picture = keras.Input((SIZE, SIZE, 3))
    whole = keras.Model(picture, layers.Add()(split(picture)))
    with pytest.raises(ArgumentError, match=r"'split' gives 2 tensors \(allowed: 1\)"):
        cut(whole, ["split"])
    assert cut(whole, ["split/b"])[0].outputs[0].shape == (None, SIZE, SIZE, 3)
