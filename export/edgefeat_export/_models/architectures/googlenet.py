"""GoogLeNet (Inception v1) as in torchvision, with batch norms and without the auxiliary classifiers.

Source: Szegedy et al.: Going Deeper with Convolutions, CVPR 2015 (arXiv:1409.4842). Differences between torchvision's
weights and the paper are kept: the branch with a 5x5 convolution in the paper has a 3x3 one (pytorch/vision#906).
torchvision's pretrained weights came from TensorFlow and expect pixels in -1..1: torchvision sets
`transform_input=True` with them, which undoes its usual normalization. Here the preprocessing does that.

Layers have the names of torchvision's modules, so a state dict fits, and `inception4e` means the same in both. A
`BasicConv2d`, such as `conv1` or `inception3a.branch2.0`, is a convolution, a norm and a ReLU; the ReLU has its name.
"""

from __future__ import annotations

from typing import Any

import keras

from edgefeat_export._models.architectures.layers import Shape, max_pool_rounding_up, no_weights, source
from edgefeat_export._models.architectures.state_dict import StateDict

__all__ = ["GOOGLENET_STATE", "googlenet"]

_NORM_EPSILON = 0.001
_NORM_MOMENTUM = 0.9
_DROPOUT = 0.2

#: Filters of an inception block: branch 1; branch 2, reduced and 3x3; branch 3, reduced and "5x5"; branch 4.
_BLOCKS: dict[str, tuple[int, int, int, int, int, int]] = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
#: The pool after a block: name and kernel size.
_POOLS = {"inception3b": ("maxpool3", 3), "inception4e": ("maxpool4", 2)}

GOOGLENET_STATE = StateDict(flattened={}, top=("fc.weight", "fc.bias"), surplus=("aux1.", "aux2."))


def googlenet(
    *,
    include_top: bool = True,
    weights: str | None = None,
    input_shape: Shape | None = None,
    classes: int = 1000,
    name: str = "googlenet",
) -> keras.Model:
    """Return GoogLeNet; without the top it ends with the map of its last block, `inception5b`, H/32 x W/32 x 1024.

    The top returns logits, as in torchvision, for images of any size from 15 x 15. `weights` must be None.
    """
    no_weights(name, weights)
    picture = source(input_shape, 224 if include_top else None)
    x = keras.layers.ZeroPadding2D(3, name="conv1.pad")(picture)
    x = _basic_convolution(x, "conv1", 64, kernel=7, strides=2, padding="valid")
    x = max_pool_rounding_up(x, 3, name="maxpool1")
    x = _basic_convolution(x, "conv2", 64)
    x = _basic_convolution(x, "conv3", 192, kernel=3)
    x = max_pool_rounding_up(x, 3, name="maxpool2")
    for block, filters in _BLOCKS.items():
        x = _inception(x, block, filters)
        if block in _POOLS:
            pool, kernel = _POOLS[block]
            x = max_pool_rounding_up(x, kernel, name=pool)
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
        x = keras.layers.Dropout(_DROPOUT, name="dropout")(x)
        x = keras.layers.Dense(classes, name="fc")(x)
    return keras.Model(picture, x, name=name)


def _inception(x: Any, name: str, filters: tuple[int, int, int, int, int, int]) -> Any:
    ones, reduced_threes, threes, reduced_fives, fives, pooled = filters
    branch1 = _basic_convolution(x, f"{name}.branch1", ones)
    branch2 = _basic_convolution(x, f"{name}.branch2.0", reduced_threes)
    branch2 = _basic_convolution(branch2, f"{name}.branch2.1", threes, kernel=3)
    branch3 = _basic_convolution(x, f"{name}.branch3.0", reduced_fives)
    branch3 = _basic_convolution(branch3, f"{name}.branch3.1", fives, kernel=3)
    branch4 = keras.layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}.branch4.0")(x)
    branch4 = _basic_convolution(branch4, f"{name}.branch4.1", pooled)
    return keras.layers.Concatenate(name=name)([branch1, branch2, branch3, branch4])


def _basic_convolution(
    x: Any, name: str, filters: int, *, kernel: int = 1, strides: int = 1, padding: str = "same"
) -> Any:
    x = keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}.conv",
    )(x)
    x = keras.layers.BatchNormalization(epsilon=_NORM_EPSILON, momentum=_NORM_MOMENTUM, name=f"{name}.bn")(x)
    return keras.layers.ReLU(name=name)(x)
