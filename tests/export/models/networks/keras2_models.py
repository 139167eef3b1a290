"""Small models of tf-keras, saved in every format, and the features that the exported network gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import tensorflow as tf
import tf_keras
from tf_keras import layers

from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._network.network import build
from edgefeat_export._spec import NetworkSpec

SIDE = 24


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
