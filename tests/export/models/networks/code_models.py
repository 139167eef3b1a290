"""Small networks that contain code, of Keras 3 and of tf-keras, and their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import tf_keras
from tests.export.models.networks.keras2_models import SIDE, randomized

LIBRARIES = {"Keras 3": keras, "Keras 2": tf_keras}


def scaled(library: Any) -> Any:
    """Return a class of layers with a weight of their own."""

    class Scaled(library.layers.Layer):  # type: ignore[misc]  # keras has no types
        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(name="factor", shape=(shape[-1],), initializer="ones")
            self.built = True

        def call(self, x: Any) -> Any:
            return x * self.factor

    return Scaled


def halved(library: Any) -> Any:
    """Return a class of layers with two outputs."""

    class Halved(library.layers.Layer):  # type: ignore[misc]  # keras has no types
        def call(self, x: Any) -> Any:
            return x[..., :2], x[..., 2:]

    return Halved


def branches(library: Any) -> Any:
    """Return a network of convolutions, alike in class and shape, of which only some depend on code."""
    layers = library.layers
    photo = library.Input((SIDE, SIDE, 3), name="photo")

    def convolution(name: str, source: Any) -> Any:
        return layers.Conv2D(4, 3, padding="same", name=name)(source)

    first = convolution("first", photo)
    own = convolution("lost", scaled(library)(name="own")(first))
    kept = convolution("kept", layers.Add(name="sum")([first, convolution("side", photo)]))
    one, two = halved(library)(name="halves")(layers.Concatenate(name="joined")([own, kept]))
    pooled = layers.GlobalAveragePooling2D(name="pooled")(layers.Concatenate()([two, one]))
    return library.Model(photo, layers.Dense(3, name="classes")(pooled))


def nested(library: Any) -> Any:
    """Return a network with an inner model that ends with code."""
    layers = library.layers
    inside = library.Input((SIDE, SIDE, 3), name="inside")
    point = layers.Conv2D(4, 1, name="point")(inside)
    inner = library.Model(inside, layers.Dense(2, name="later")(scaled(library)(name="own")(point)), name="inner")
    photo = library.Input((SIDE, SIDE, 3), name="photo")
    first = layers.Conv2D(3, 3, padding="same", name="first")(photo)
    return library.Model(photo, layers.Dense(3, name="classes")(inner(first)))


def pair(library: Any) -> Any:
    """Return a siamese network: one encoder, called on two photos, and their distance as code."""
    layers = library.layers
    encoder = library.Sequential(
        [library.Input((SIDE, SIDE, 3)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()], name="encoder"
    )
    left, right = (library.Input((SIDE, SIDE, 3), name=name) for name in ("left", "right"))
    distance = layers.Lambda(lambda two: abs(two[0] - two[1]), name="distance", output_shape=(4,))
    return library.Model([left, right], layers.Dense(1)(distance([encoder(left), encoder(right)])))


def chain(library: Any) -> Any:
    layers = library.layers
    return library.Sequential(
        [
            library.Input((SIDE, SIDE, 3)),
            layers.Conv2D(4, 3, name="first"),
            layers.Conv2D(4, 3, name="second"),
            layers.Lambda(lambda x: x * 2.0, name="twice"),
            layers.Conv2D(4, 3, name="third"),
        ]
    )


def steering(library: Any) -> Any:
    """Return a network that scales its pixels with code, as many that steer toy cars."""
    layers = library.layers
    return library.Sequential(
        [
            library.Input((SIDE, SIDE, 3)),
            layers.Lambda(lambda x: x / 127.5 - 1.0, name="scale"),
            layers.Conv2D(4, 3, name="first"),
            layers.Flatten(name="flat"),
            layers.Dense(3, name="angle"),
        ]
    )


def scaled_first(library: Any) -> Any:
    """Return a network that scales its pixels with code before an inner model, which it calls twice."""
    layers = library.layers
    inside = library.Input((SIDE, SIDE, 3), name="inside")
    inner = library.Model(inside, layers.Conv2D(3, 3, padding="same", name="point")(inside), name="inner")
    photo = library.Input((SIDE, SIDE, 3), name="photo")
    small = layers.Lambda(lambda x: x / 127.5 - 1.0, name="scale", output_shape=(SIDE, SIDE, 3))(photo)
    return library.Model(photo, layers.Dense(3, name="classes")(inner(inner(small))))


def saved(library: Any, make: Callable[[Any], Any], suffix: str, folder: Path) -> tuple[Any, Path]:
    model = randomized(make(library))
    path = folder / f"net{suffix}"
    model.save(path)
    return model, path
