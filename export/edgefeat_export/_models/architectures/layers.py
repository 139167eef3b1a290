"""Equivalents of torch layers that Keras lacks, made of Keras layers that every converter supports."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["Shape", "adaptive_average", "max_pool_rounding_up", "no_weights", "source"]

Shape = tuple[int | None, int | None, int]


def source(shape: Shape | None, side: int | None) -> Any:
    """Return the network's input: of that shape, or square images of `side`; None for any size."""
    return keras.Input(shape or (side, side, 3))


def no_weights(name: str, weights: str | None) -> None:
    """Raise ValueError if weights are requested by name: these networks have none to download."""
    if weights is not None:
        raise ValueError(f"weights {weights!r} of {name} cannot be downloaded (allowed: None, then load a file)")


def max_pool_rounding_up(x: Any, kernel: int, *, name: str) -> Any:
    """Return torch's `MaxPool2d(kernel, stride=2, ceil_mode=True)` of a map without negative values.

    The last window may extend one row or column past the map. TensorFlow's `same` pads there too, but for some sizes
    also at the start; then zeros are padded explicitly. They never win over the values, which follow a ReLU.
    """
    beyond = [None if side is None else (side - kernel) % 2 for side in x.shape[1:3]]
    if beyond == [1, 1]:
        return keras.layers.MaxPooling2D(kernel, strides=2, padding="same", name=name)(x)
    if beyond != [0, 0]:
        padding = tuple((0, 1 if side is None else side) for side in beyond)
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}.pad")(x)
    return keras.layers.MaxPooling2D(kernel, strides=2, name=name)(x)


def adaptive_average(x: Any, side: int, *, name: str) -> Any:
    """Return torch's `AdaptiveAvgPool2d(side)`: (N, H, W, C) to (N, side, side, C). H and W must be fixed."""
    return AdaptiveAverage(side, name=name)(x)


class AdaptiveAverage(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Mean over `side` windows along each axis, which overlap if the side of the map is no multiple of `side`."""

    def __init__(self, side: int, *, name: str) -> None:
        super().__init__(name=name)
        self.side = side

    def call(self, maps: Any) -> Any:
        for axis in (1, 2):
            length = maps.shape[axis]
            if length == self.side:
                continue
            bounds = [(i * length // self.side, -(-(i + 1) * length // self.side)) for i in range(self.side)]
            windows = [maps[:, a:b] if axis == 1 else maps[:, :, a:b] for a, b in bounds]
            maps = ops.concatenate([ops.mean(window, axis=axis, keepdims=True) for window in windows], axis=axis)
        return maps
