"""AlexNet as in torchvision: the single-column form of 2014, without local response normalization.

Source: Krizhevsky: One weird trick for parallelizing convolutional neural networks, 2014 (arXiv:1404.5997), with
64-192-384-256-256 filters. Layers have the names of torchvision's modules, so a state dict fits, and `features.12`
means the same in both.
"""

from __future__ import annotations

from typing import Any

import keras

from edgefeat_export._models.architectures.layers import Shape, adaptive_average, no_weights, source
from edgefeat_export._models.architectures.state_dict import StateDict

__all__ = ["ALEXNET_STATE", "alexnet"]

_POOLED = 6
#: Filters and kernel size by index in `features`.
_CONVOLUTIONS = {3: (192, 5), 6: (384, 3), 8: (256, 3), 10: (256, 3)}
_POOLS_BEHIND = {3, 10}
_UNITS = 4096
_DROPOUT = 0.5

#: The first dense layer follows a flattened map, which torch flattens channels first.
ALEXNET_STATE = StateDict(
    flattened={"classifier.1": (256, _POOLED, _POOLED)},
    top=tuple(f"classifier.{index}.{what}" for index in (1, 4, 6) for what in ("weight", "bias")),
    surplus=(),
)


def alexnet(
    *,
    include_top: bool = True,
    weights: str | None = None,
    input_shape: Shape | None = None,
    classes: int = 1000,
    name: str = "alexnet",
) -> keras.Model:
    """Return AlexNet; without the top it ends with the map of its last pool, `features.12`, H/32 x W/32 x 256.

    The top returns logits, as in torchvision, for images of any size from 63 x 63. `weights` must be None.
    """
    no_weights(name, weights)
    picture = source(input_shape, 224 if include_top else None)
    x = keras.layers.ZeroPadding2D(2, name="features.0.pad")(picture)
    x = _convolution(x, 0, 64, kernel=11, strides=4, padding="valid")
    x = keras.layers.MaxPooling2D(3, strides=2, name="features.2")(x)
    for index, (filters, kernel) in _CONVOLUTIONS.items():
        x = _convolution(x, index, filters, kernel=kernel, strides=1, padding="same")
        if index in _POOLS_BEHIND:
            x = keras.layers.MaxPooling2D(3, strides=2, name=f"features.{index + 2}")(x)
    if include_top:
        x = _classifier(adaptive_average(x, _POOLED, name="avgpool"), classes)
    return keras.Model(picture, x, name=name)


def _convolution(x: Any, index: int, filters: int, *, kernel: int, strides: int, padding: str) -> Any:
    """Return a convolution, `features.<index>`, followed by a ReLU."""
    convolution = keras.layers.Conv2D(
        filters, kernel, strides=strides, padding=padding, kernel_initializer="he_normal", name=f"features.{index}"
    )
    return keras.layers.ReLU(name=f"features.{index + 1}")(convolution(x))


def _classifier(x: Any, classes: int) -> Any:
    x = keras.layers.Flatten(name="flatten")(x)
    for index in (0, 3):
        x = keras.layers.Dropout(_DROPOUT, name=f"classifier.{index}")(x)
        x = keras.layers.Dense(_UNITS, kernel_initializer="he_normal", name=f"classifier.{index + 1}")(x)
        x = keras.layers.ReLU(name=f"classifier.{index + 2}")(x)
    return keras.layers.Dense(classes, name="classifier.6")(x)
