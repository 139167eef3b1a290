"""Networks and files of weights that tests make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import h5py
import keras
from keras import layers

from edgefeat_export._spec import NetworkSpec

__all__ = ["KINDS", "network", "same", "save_new", "spec", "with_alpha", "write_old"]


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


def with_alpha(asked: NetworkSpec, alpha: float) -> NetworkSpec:
    return replace(asked, alpha=alpha)
