"""EfficientNet-Lite 0 to 4: EfficientNets for small machines, with ReLU6 and without squeeze-and-excite.

Source: Tan, Le: EfficientNet, ICML 2019 (arXiv:1905.11946), and the Lite variants in `tensorflow/tpu` (2020): swish
becomes ReLU6, which quantizes well, squeeze-and-excite is left out, and the stem and the last convolution keep their
width at every size. MediaPipe's default image embedder is of this kind, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from edgefeat_export._models.architectures.layers import Shape, no_weights, source

__all__ = ["EFFICIENTNET_LITE_SIZES", "efficientnet_lite"]

_NORM_EPSILON = 0.001
_NORM_MOMENTUM = 0.99
_STEM, _HEAD = 32, 1280
#: Numbers of channels are multiples of this.
_DIVISOR = 8

#: Width, depth, dropout before the classifier, and the side of the images.
_SIZES = (
    (1.0, 1.0, 0.2, 224),
    (1.0, 1.1, 0.2, 240),
    (1.1, 1.2, 0.3, 260),
    (1.2, 1.4, 0.3, 280),
    (1.4, 1.8, 0.3, 300),
)
#: Kernel, blocks, channels, expansion and stride of each stage at width and depth 1.
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)

#: The side of the images that each was made for, by name.
EFFICIENTNET_LITE_SIZES = {f"efficientnet_lite{number}": size[3] for number, size in enumerate(_SIZES)}


def efficientnet_lite(number: int) -> Callable[..., keras.Model]:
    """Return the factory of EfficientNet-Lite `number`, 0 to 4, with the options of `keras.applications`.

    Without the top the network ends with the map after its last convolution, `head_relu`, H/32 x W/32 x 1280. The top
    returns probabilities. `weights` must be None.
    """
    own = f"efficientnet_lite{number}"
    width, depth, dropout, side = _SIZES[number]

    def factory(
        *,
        include_top: bool = True,
        weights: str | None = None,
        input_shape: Shape | None = None,
        classes: int = 1000,
        name: str = own,
    ) -> keras.Model:
        no_weights(name, weights)
        picture = source(input_shape, side if include_top else None)
        x = _convolution(picture, "stem", _STEM, kernel=3, strides=2)
        block = 0
        for stage, (kernel, blocks, channels, expansion, strides) in enumerate(_STAGES):
            outer = stage in (0, len(_STAGES) - 1)  # the first and the last stage keep their depth
            for place in range(blocks if outer else math.ceil(depth * blocks)):
                first = strides if place == 0 else 1
                x = _block(x, f"block{block}", _rounded(channels * width), kernel, expansion, first)
                block += 1
        x = _convolution(x, "head", _HEAD)
        if include_top:
            x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
            x = keras.layers.Dropout(dropout, name="dropout")(x)
            x = keras.layers.Dense(classes, activation="softmax", name="predictions")(x)
        return keras.Model(picture, x, name=name)

    return factory


def _rounded(channels: float) -> int:
    """Return a multiple of the divisor that is at most a tenth smaller."""
    nearest = max(_DIVISOR, int(channels + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return nearest + _DIVISOR if nearest < 0.9 * channels else nearest


def _block(x: Any, name: str, filters: int, kernel: int, expansion: int, strides: int) -> Any:
    """Return an inverted residual block: expand, filter each channel, project, add the input if it has the shape."""
    given = x
    if expansion != 1:
        x = _convolution(x, f"{name}_expand", x.shape[-1] * expansion)
    depthwise = keras.layers.DepthwiseConv2D(
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )
    x = _normalized(depthwise(x), f"{name}_depthwise")
    x = _convolution(x, f"{name}_project", filters, activation=False)
    if strides == 1 and given.shape[-1] == filters:
        return keras.layers.Add(name=f"{name}_add")([given, x])
    return x


def _convolution(x: Any, name: str, filters: int, *, kernel: int = 1, strides: int = 1, activation: bool = True) -> Any:
    layer = keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )
    return _normalized(layer(x), name, activation=activation)


def _normalized(x: Any, name: str, *, activation: bool = True) -> Any:
    x = keras.layers.BatchNormalization(epsilon=_NORM_EPSILON, momentum=_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if activation else x
