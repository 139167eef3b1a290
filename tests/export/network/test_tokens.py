"""Tokens: what each pooling gives, in the model files too, against NumPy on Keras's own tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from keras import layers, ops

from edgefeat import ArgumentError, BundleError, Manifest
from edgefeat._bundle.manifest import Tokens
from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.tflite import conversion as tflite
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._models.hub.tokens import KnownTokens, tokens_of
from edgefeat_export._models.preprocessing import preprocessing_named
from edgefeat_export._network.network import build
from edgefeat_export._network.trunk import Trunk
from edgefeat_export._spec import RANDOM, NetworkSpec

ROWS, COLUMNS, WIDTH = 3, 4, 12
SPEC = NetworkSpec(backbone="tokens", weights=RANDOM, normalization="none")
KNOWN = KnownTokens(("class", "register"), "cls")

#: What each pooling means, of tokens (N, 2 + 12, D): a class token, a register, then patches.
POOLED: dict[str, Callable[[Any], Any]] = {
    "cls": lambda tokens: tokens[:, 0],
    "mean": lambda tokens: tokens.mean(1),
    "mean-patches": lambda tokens: tokens[:, 2:].mean(1),
    "max": lambda tokens: tokens[:, 2:].max(1),
    "gem": lambda tokens: np.cbrt((tokens[:, 2:].clip(1e-6).astype(np.float64) ** 3).mean(1)),
    "flatten": lambda tokens: tokens.reshape(len(tokens), -1),
    "none": lambda tokens: tokens,
}


class Prefix(layers.Layer):  # type: ignore[misc]  # keras has no types
    """Puts two learned tokens before the patches, as transformers do."""

    def build(self, shape: Any) -> None:
        self.tokens = self.add_weight(shape=(1, 2, shape[-1]), initializer="random_normal", name="tokens")

    def call(self, patches: Any) -> Any:
        return ops.concatenate([ops.tile(self.tokens, (ops.shape(patches)[0], 1, 1)), patches], axis=1)


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    """Patches of 8 x 8 pixels and two tokens before them, mixed by attention."""
    keras.utils.set_random_seed(3)
    picture = keras.Input((ROWS * 8, COLUMNS * 8, 3))
    patches = layers.Reshape((ROWS * COLUMNS, WIDTH), name="patches")(layers.Conv2D(WIDTH, 8, strides=8)(picture))
    tokens = Prefix(name="prefix")(patches)
    normal = layers.LayerNormalization(beta_initializer="random_normal", gamma_initializer="random_uniform")(tokens)
    mixed = layers.Add(name="tokens")([tokens, layers.MultiHeadAttention(2, 6)(normal, normal)])
    model = keras.Model(picture, mixed)
    return Trunk("tokens", model, (ROWS * 8, COLUMNS * 8), ("tokens",), preprocessing_named("tf"), "tf", tokens=KNOWN)


@pytest.fixture(scope="module")
def pictures() -> Any:
    return np.random.default_rng(4).integers(0, 256, (5, ROWS * 8, COLUMNS * 8, 3), np.uint8)


@pytest.mark.parametrize("pooling", POOLED)
def test_tokens_are_pooled_as_numpy_pools_keras_tokens(
    pooling: Any, trunk: Trunk, pictures: Any, tmp_path: Path
) -> None:
    network = build(trunk, replace(SPEC, pooling=pooling), pictures)
    expected = POOLED[pooling](trunk.model.predict(pictures / np.float32(127.5) - 1, verbose=0))
    (tap,) = network.taps
    assert (tap.pooling, tap.shape) == (pooling, expected.shape[1:])
    assert tap.tokens == Tokens(ROWS * COLUMNS + 2, ("class", "register"), (ROWS, COLUMNS), "cls")
    graph = save_graph(network.model, [tap.name], tmp_path / "graph")
    tflite.float32(graph, tmp_path / "model.tflite")
    to_onnx.float32(tmp_path / "model.tflite", tmp_path / "model.onnx")
    run = Interpreter(str(tmp_path / "model.tflite"), num_threads=1).get_signature_runner(flatbuffer.SIGNATURE)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for found in (
        network.features(pictures)[tap.name],
        np.concatenate([run(image=picture[np.newaxis])[tap.name] for picture in pictures]),
        session.run([tap.name], {"image": pictures})[0],
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_the_default_is_what_the_authors_use(trunk: Trunk, pictures: Any) -> None:
    network = build(trunk, SPEC, pictures)
    assert [tap.pooling for tap in network.taps] == ["cls"]
    assert "pooled by cls: as the backbone's authors do" in " ".join(network.notes)


def test_patches_alone_keep_their_grid(trunk: Trunk, pictures: Any) -> None:
    model = keras.Model(trunk.model.inputs, trunk.model.get_layer("patches").output)
    network = build(replace(trunk, model=model, layers=("patches",)), replace(SPEC, pooling="none"), pictures)
    assert [tap.shape for tap in network.taps] == [(ROWS, COLUMNS, WIDTH)]
    expected = model.predict(pictures / np.float32(127.5) - 1, verbose=0).reshape(-1, ROWS, COLUMNS, WIDTH)
    np.testing.assert_allclose(network.features(pictures)["patches"], expected, rtol=1e-5)


def test_a_class_token_is_required_for_cls(trunk: Trunk, pictures: Any) -> None:
    model = keras.Model(trunk.model.inputs, trunk.model.get_layer("patches").output)
    with pytest.raises(ArgumentError, match=r"have no class token \(allowed: mean, mean-patches, max"):
        build(replace(trunk, model=model, layers=("patches",)), replace(SPEC, pooling="cls"), pictures)


@pytest.mark.parametrize(
    ("count", "size", "known", "special", "grid"),
    [
        (197, (224, 224), KnownTokens(("class",), "cls"), 1, (14, 14)),
        (196, (224, 224), KnownTokens(("class",), "cls"), 0, (14, 14)),
        (261, (224, 224), KnownTokens(("class", *["register"] * 4), "cls"), 5, (16, 16)),
        (12, (96, 128), None, 0, (3, 4)),
        (13, (96, 128), None, 1, (3, 4)),
        (15, (96, 128), None, 0, ()),
    ],
)
def test_tokens_are_recognized_by_their_number(
    count: int, size: tuple[int, int], known: KnownTokens | None, special: int, grid: tuple[int, ...]
) -> None:
    tokens, note = tokens_of(count, size, known)
    assert (len(tokens.special), tokens.grid) == (special, grid)
    assert (note is not None) == (known is None and special == 1)


def test_a_manifest_keeps_its_tokens_and_refuses_impossible_ones() -> None:
    old = Manifest.from_bytes((Path(__file__).parents[2] / "data" / "one_tap.edgefeat" / "manifest.json").read_bytes())
    assert b"tokens" not in old.to_bytes()
    tap = replace(old.taps[0], tokens=Tokens(197, ("class",), (14, 14), "cls"))
    manifest = replace(old, taps=(tap, *old.taps[1:]))
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    wrong = replace(manifest, taps=(replace(tap, tokens=Tokens(197, (), (14, 14), None)), *old.taps[1:]))
    with pytest.raises(BundleError, match="197 tokens, 0 of them special, and 14x14"):
        Manifest.from_bytes(wrong.to_bytes())
