"""Heads: pooling, projection and norm, in the model files too, against NumPy and scikit-learn on Keras's own maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from PIL import Image
from sklearn.decomposition import PCA

import edgefeat_export
from edgefeat import ArgumentError
from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.tflite import conversion as tflite
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._models.preprocessing import preprocessing_named
from edgefeat_export._network.network import Network, build
from edgefeat_export._network.trunk import Trunk
from edgefeat_export._spec import RANDOM, NetworkSpec, Pooling

HEIGHT, WIDTH, CHANNELS = 20, 28, 12
PICTURES = 40

SPEC = NetworkSpec(
    backbone="tiny",
    alpha=None,
    weights=RANDOM,
    seed=0,
    size=(HEIGHT, WIDTH),
    preprocess="tf",
    layers=("map",),
    pooling="avg",
    normalization="none",
    project=None,
    whiten=False,
    calibration="synthetic",
    evaluation=None,
    fit="stretch",
)

#: What each pooling means, of maps (N, H, W, C).
POOLED: dict[str, Callable[[Any], Any]] = {
    "avg": lambda maps: maps.mean((1, 2)),
    "max": lambda maps: maps.max((1, 2)),
    "gem": lambda maps: np.cbrt((maps.clip(1e-6).astype(np.float64) ** 3).mean((1, 2))),
    "flatten": lambda maps: maps.reshape(len(maps), -1),
    "none": lambda maps: maps,
}


def unit(features: Any) -> Any:
    flat = features.reshape(len(features), -1)
    return (flat / np.linalg.norm(flat, axis=1, keepdims=True)).reshape(features.shape)


@pytest.fixture(scope="module")
def pictures() -> Any:
    random = np.random.default_rng(2)
    coarse = random.integers(0, 256, (PICTURES, 5, 7, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return (coarse + random.normal(0, 9, coarse.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    """A feature map of both signs, and a vector behind it."""
    keras.utils.set_random_seed(11)
    picture = keras.Input((HEIGHT, WIDTH, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(picture)
    feature_map = layers.Conv2D(CHANNELS, 3, strides=2, name="map")(x)
    vector = layers.Dense(6, name="vector")(layers.GlobalAveragePooling2D()(feature_map))
    model = keras.Model(picture, [feature_map, vector])
    return Trunk("tiny", model, (HEIGHT, WIDTH), ("map", "vector"), preprocessing_named("tf"), "tf")


@pytest.fixture(scope="module")
def maps(trunk: Trunk, pictures: Any) -> Any:
    """What a Keras user gets: preprocess, predict."""
    prepared = keras.applications.mobilenet_v2.preprocess_input(pictures.astype(np.float32))
    return trunk.model.predict(prepared, verbose=0)[0]


def map_alone(trunk: Trunk) -> Trunk:
    return replace(trunk, model=keras.Model(trunk.model.inputs, trunk.model.outputs[0]), layers=("map",))


def files_features(network: Network, pictures: Any, folder: Path) -> list[Any]:
    """The first tap's features by the TFLite file and by the ONNX file."""
    graph = save_graph(network.model, [tap.name for tap in network.taps], folder / "graph")
    tflite.float32(graph, folder / "model.tflite")
    to_onnx.float32(folder / "model.tflite", folder / "model.onnx")
    run = Interpreter(str(folder / "model.tflite"), num_threads=1).get_signature_runner(flatbuffer.SIGNATURE)
    tap = network.taps[0].name
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return [
        np.concatenate([run(image=picture[np.newaxis])[tap] for picture in pictures]),
        session.run([tap], {"image": pictures})[0],
    ]


def test_every_pooling_is_tried_here() -> None:
    tokens_only = {"cls", "mean", "mean-patches"}  # in test_tokens
    assert set(POOLED) | tokens_only == set(get_args(Pooling))


@pytest.mark.parametrize("normalization", ["l2", "none"])
@pytest.mark.parametrize("pooling", POOLED)
def test_a_head_gives_what_numpy_makes_of_keras_maps(
    pooling: Any, normalization: Any, trunk: Trunk, maps: Any, pictures: Any, tmp_path: Path
) -> None:
    network = build(map_alone(trunk), replace(SPEC, pooling=pooling, normalization=normalization), pictures)
    expected = POOLED[pooling](maps)
    if normalization == "l2":
        expected = unit(expected)
    (tap,) = network.taps
    assert (tap.pooling, tap.normalization, tap.projection) == (pooling, normalization, None)
    assert tap.shape == expected.shape[1:]
    assert len(tap.shape) == (3 if pooling == "none" else 1)
    found = [
        network.features(pictures)["map"],
        np.asarray(network.model(pictures.astype(np.float32), training=False)),
        *files_features(network, pictures[:3], tmp_path),
    ]
    for features in found:
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected[: len(features)], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("normalization", "told"), [("l2", True), ("none", False)])
def test_a_single_number_loses_its_value_by_its_length_and_the_export_says_so(
    normalization: Any, told: bool, pictures: Any
) -> None:
    picture = keras.Input((HEIGHT, WIDTH, 3))
    angle = layers.Dense(1, name="angle")(layers.Flatten()(picture))
    trunk = Trunk("car", keras.Model(picture, angle), (HEIGHT, WIDTH), ("angle",), preprocessing_named("tf"), "tf")
    notes = build(trunk, replace(SPEC, normalization=normalization), pictures).notes
    assert [note for note in notes if "layer 'angle' gives one number" in note] == list(notes) * told
    assert bool(notes) == told


@pytest.mark.parametrize("normalization", ["l2", "none"])
@pytest.mark.parametrize("whiten", [False, True])
def test_a_projection_is_that_of_scikit_learn(
    whiten: bool, normalization: Any, trunk: Trunk, maps: Any, pictures: Any, tmp_path: Path
) -> None:
    spec = replace(SPEC, project=5, whiten=whiten, normalization=normalization)
    network = build(map_alone(trunk), spec, pictures)
    pca = PCA(5, whiten=whiten).fit(maps.mean((1, 2)))
    (tap,) = network.taps
    assert tap.shape == (5,)
    assert tap.projection is not None
    assert (tap.projection.dimensions, tap.projection.whiten) == (5, whiten)
    assert tap.projection.kept_variance == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-4)
    assert 0.5 < tap.projection.kept_variance < 1
    others = np.random.default_rng(3).integers(0, 256, pictures.shape, np.uint8)
    prepared = keras.applications.mobilenet_v2.preprocess_input(others.astype(np.float32))
    expected = pca.transform(trunk.model.predict(prepared, verbose=0)[0].mean((1, 2)))
    if normalization == "l2":
        expected = unit(expected)
    elif whiten:
        fitted = network.features(pictures)["map"]
        np.testing.assert_allclose(fitted.std(axis=0, ddof=1), 1, rtol=1e-3)
    for features in (network.features(others)["map"], *files_features(network, others[:3], tmp_path)):
        np.testing.assert_allclose(features, expected[: len(features)], rtol=2e-3, atol=2e-3)


def test_a_vector_needs_no_pooling_and_each_tap_has_a_projection_of_its_own(trunk: Trunk, pictures: Any) -> None:
    network = build(trunk, replace(SPEC, layers=("map", "vector"), pooling="max", project=3), pictures)
    assert [(tap.name, tap.pooling, tap.shape) for tap in network.taps] == [
        ("map", "max", (3,)),
        ("vector", "none", (3,)),
    ]
    kept = [tap.projection.kept_variance for tap in network.taps if tap.projection is not None]
    assert len(set(kept)) == 2


@pytest.mark.parametrize(
    ("pooling", "project", "count", "limit"),
    [
        ("avg", CHANNELS + 1, PICTURES, CHANNELS),  # more than there are features
        ("avg", 8, 8, 7),  # n pictures lie in n - 1 dimensions
        ("flatten", PICTURES, PICTURES, PICTURES - 1),
        ("avg", 1, 1, 0),  # one picture varies in none
    ],
)
def test_a_projection_to_more_than_is_possible_is_refused(
    pooling: Any, project: int, count: int, limit: int, trunk: Trunk, pictures: Any
) -> None:
    spec = replace(SPEC, pooling=pooling, project=project)
    with pytest.raises(
        ArgumentError, match=rf"layer 'map' cannot be projected to {project} dimensions .* at most {limit} "
    ):
        build(map_alone(trunk), spec, pictures[:count])


def test_features_that_are_all_equal_cannot_be_projected(trunk: Trunk, pictures: Any) -> None:
    with pytest.raises(ArgumentError, match=r"layer 'map' cannot be projected: its features of all 4 .* are equal"):
        build(map_alone(trunk), replace(SPEC, project=1), pictures[:1].repeat(4, axis=0))


def test_dimensions_in_which_nothing_varies_cannot_be_whitened(trunk: Trunk, pictures: Any) -> None:
    spec = replace(SPEC, project=8, whiten=True)
    with pytest.raises(
        ArgumentError, match=r"layer 'map' cannot be projected to 8 dimensions .*at most 7 .* 8 calibration"
    ):
        build(map_alone(trunk), spec, pictures[:8])
    (tap,) = build(map_alone(trunk), replace(spec, project=7), pictures[:8]).taps
    assert tap.shape == (7,)
    dead = layers.Concatenate()([trunk.model.outputs[0], layers.ReLU()(trunk.model.outputs[0] - 1e6)])
    half = replace(map_alone(trunk), model=keras.Model(trunk.model.inputs, dead))
    with pytest.raises(ArgumentError, match=rf"cannot be whitened to 20 dimensions .*at most {CHANNELS}, "):
        build(half, replace(SPEC, project=20, whiten=True), pictures)


def test_a_feature_map_cannot_be_projected(trunk: Trunk, pictures: Any) -> None:
    with pytest.raises(ArgumentError, match=r"cannot be projected to 3 dimensions .*pooled features"):
        build(map_alone(trunk), replace(SPEC, pooling="none", project=3), pictures)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"project": 0}, "projection to 0 dimensions"),
        ({"whiten": True}, "add --project"),
        ({"pooling": "median"}, "pooling 'median' is unknown .*gem"),
        ({"normalize": "l1"}, "normalization 'l1' is unknown .*l2, none"),
    ],
)
def test_a_head_that_cannot_be_is_refused_before_any_work(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=said):
        edgefeat_export.export("mobilenet_v2", tmp_path / "no.edgefeat", **options)
    assert not list(tmp_path.iterdir())


def test_a_bundle_records_its_head_and_gives_what_scikit_learn_does(tmp_path: Path, pictures: Any) -> None:
    (tmp_path / "photos").mkdir()
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{index}.png")
    keras.utils.set_random_seed(4)
    picture = keras.Input((HEIGHT, WIDTH, 3))
    x = layers.Conv2D(16, 3, strides=2, activation="relu", name="map")(picture)
    keras.Model(picture, layers.Dense(2)(layers.Flatten()(x))).save(tmp_path / "tiny.keras")
    extractor = edgefeat_export.export(
        tmp_path / "tiny.keras",
        tmp_path / "tiny.edgefeat",
        layers=["map"],
        preprocess="tf",
        pooling="gem",
        project=4,
        whiten=True,
        normalize="none",
        calibration=tmp_path / "photos",
        variants=["tflite-float32", "onnx-float32"],
    )
    (tap,) = extractor.taps
    assert (tap.name, tap.layer, tap.pooling, tap.normalization, tap.shape) == ("map", "map", "gem", "none", (4,))
    assert tap.projection is not None
    assert (tap.projection.dimensions, tap.projection.whiten) == (4, True)
    assert 0.5 < tap.projection.kept_variance <= 1
    assert f"keeps {tap.projection.kept_variance:.1%}" in (tmp_path / "tiny.edgefeat" / "README.md").read_text()
    # Whitening of some of the photos, and all that is left of the others lies near it.
    features = extractor.extract(pictures)
    assert isinstance(features, np.ndarray)
    assert features.shape == (PICTURES, 4)
    assert features.std(axis=0) == pytest.approx(np.ones(4), abs=0.5)
    assert np.corrcoef(features.T) == pytest.approx(np.eye(4), abs=0.5)
