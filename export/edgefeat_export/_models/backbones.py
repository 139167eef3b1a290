"""The backbones known by name: all of `keras.applications`, AlexNet, GoogLeNet and EfficientNet-Lite.

Differences between backbones are data in this module, not code elsewhere.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras

from edgefeat import ArgumentError
from edgefeat_export._models.architectures import (
    ALEXNET_STATE,
    EFFICIENTNET_LITE_SIZES,
    GOOGLENET_STATE,
    StateDict,
    alexnet,
    efficientnet_lite,
    googlenet,
)
from edgefeat_export._models.preprocessing import preprocessing_named
from edgefeat_export._spec import MODEL_SUFFIXES

__all__ = ["Backbone", "backbone_named", "backbones"]

_SIZE, _SMALLEST = 224, 32
#: The default and the smallest input size of networks whose sizes are unusual.
_SIZES = {
    "alexnet": (224, 63),
    "efficientnet_b1": (240, 32),
    "efficientnet_b2": (260, 32),
    "efficientnet_b3": (300, 32),
    "efficientnet_b4": (380, 32),
    "efficientnet_b5": (456, 32),
    "efficientnet_b6": (528, 32),
    "efficientnet_b7": (600, 32),
    "efficientnet_v2_b1": (240, 32),
    "efficientnet_v2_b2": (260, 32),
    "efficientnet_v2_b3": (300, 32),
    "efficientnet_v2_l": (480, 32),
    "efficientnet_v2_m": (480, 32),
    "efficientnet_v2_s": (384, 32),
    **{name: (side, 32) for name, side in EFFICIENTNET_LITE_SIZES.items()},
    "googlenet": (224, 15),
    "inception_resnet_v2": (299, 75),
    "inception_v3": (299, 75),
    "nasnet_large": (331, 32),
    "xception": (299, 71),
}
#: Further sizes for which Keras has separate weights.
_TRAINED_SIZES = {"mobilenet": (128, 160, 192), "mobilenet_v2": (96, 128, 160, 192)}
#: Networks whose first dense layer reads the whole feature map, so that only one input size is possible.
_FIXED_TOPS = ("vgg16", "vgg19")


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network by its name in edgefeat (`mobilenet_v2`), built by a factory with the options of `keras.applications`.

    `preprocess` converts float32 RGB 0..255 to the input of the first layer; `preprocessing` describes it in words.
    `downloads` says whether the factory supports weights "imagenet"; `state_dict` how torch's weights fit, if they do.
    """

    name: str
    factory: Callable[..., Any]
    preprocess: Callable[[Any], Any]
    preprocessing: str
    downloads: bool = True
    state_dict: StateDict | None = None

    @property
    def size(self) -> int:
        """The side of the images that it was made for."""
        return _SIZES.get(self.name, (_SIZE, _SMALLEST))[0]

    @property
    def smallest(self) -> int:
        """The shortest side that it accepts."""
        return _SIZES.get(self.name, (_SIZE, _SMALLEST))[1]

    @property
    def trained_sizes(self) -> tuple[int, ...]:
        """The sides of images for which its top has weights."""
        return (self.size, *_TRAINED_SIZES.get(self.name, ()))

    @property
    def fixed_top(self) -> bool:
        """Whether its top accepts only one size of image."""
        return self.name in _FIXED_TOPS

    def accepts(self, option: str) -> bool:
        """Return whether the network has an option of that name, such as `alpha`."""
        return option in inspect.signature(self.factory).parameters


_OWN = (
    Backbone(
        "alexnet",
        alexnet,
        preprocessing_named("torch"),
        "torch: RGB / 255, less 0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225",
        downloads=False,
        state_dict=ALEXNET_STATE,
    ),
    Backbone(
        "googlenet",
        googlenet,
        preprocessing_named("tf"),
        "tf: RGB / 127.5 - 1, which is torchvision's normalization followed by its transform_input",
        downloads=False,
        state_dict=GOOGLENET_STATE,
    ),
    *(
        Backbone(name, efficientnet_lite(number), preprocessing_named("tf"), "tf: RGB / 127.5 - 1", downloads=False)
        for number, name in enumerate(EFFICIENTNET_LITE_SIZES)
    ),
)


@cache
def backbones() -> tuple[Backbone, ...]:
    """Return every backbone of the installed Keras and edgefeat's own, sorted by name."""
    found = list(_OWN)
    for name, factory in vars(keras.applications).items():
        if inspect.isfunction(factory) and {"include_top", "weights"} <= set(inspect.signature(factory).parameters):
            module = getattr(keras.applications, factory.__module__.rpartition(".")[2])
            path = module.__name__.partition("keras.")[2].removeprefix("api.")
            words = f"keras.{path}.preprocess_input"
            found.append(Backbone(_our_name(name), factory, module.preprocess_input, words))
    return tuple(sorted(found, key=lambda backbone: backbone.name))


def backbone_named(name: str) -> Backbone:
    """Return the backbone of that name; case, `_` and `-` are ignored.

    Raises ArgumentError, which lists similar names, or says that the name is a path.
    """
    if name in (".", "..") or set(name) & {"/", os.sep, os.altsep}:
        raise ArgumentError(
            f"backbone {name!r} is a path, but not of a saved model "
            f"(allowed: a file {', '.join(MODEL_SUFFIXES)}, a SavedModel folder, or a backbone's name)"
        )
    by_key = {_key(backbone.name): backbone for backbone in backbones()}
    backbone = by_key.get(_key(name))
    if backbone is None:
        near = difflib.get_close_matches(_key(name), by_key, n=5, cutoff=0.5)
        names = [by_key[key].name for key in near] or [backbone.name for backbone in backbones()]
        folder = f"; for the folder of that name write {os.path.join(name, '')}" if os.path.isdir(name) else ""
        raise ArgumentError(
            f"backbone {name!r} is unknown ({'similar' if near else 'allowed'}: {', '.join(names)}){folder}"
        )
    return backbone


def _key(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _our_name(keras_name: str) -> str:
    """Return edgefeat's name: `MobileNetV3Small` -> `mobilenet_v3_small`, `ResNet50V2` -> `resnet50_v2`."""
    parts = re.sub(r"(V\d)|(?<=[a-z\d])(B\d)$|(Small|Large|XLarge|Mobile(?!Net)|Tiny|Base)$", r"_\g<0>_", keras_name)
    parts = re.sub(r"(?<=V2_)([BSML]\d?)$", r"\1", parts).replace("InceptionResNet", "Inception_ResNet")
    return re.sub(r"_+", "_", parts).strip("_").lower()
