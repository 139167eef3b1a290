"""The backbones known by name: whatever `keras.applications` has, with its own preprocessing."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import keras

from edgefeat import ArgumentError

__all__ = ["Backbone", "backbone_named", "backbones"]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network of `keras.applications`: `name` is ours (`mobilenet_v2`), `module` holds its preprocessing."""

    name: str
    factory: Callable[..., Any]
    module: ModuleType

    @property
    def preprocessing(self) -> str:
        """Where the preprocessing comes from, for people."""
        return f"keras.{self.module.__name__.partition('keras.')[2].removeprefix('api.')}.preprocess_input"

    def accepts(self, option: str) -> bool:
        """Whether the network has an option of that name, such as `alpha`."""
        return option in inspect.signature(self.factory).parameters


@cache
def backbones() -> tuple[Backbone, ...]:
    """Every backbone of the installed Keras, sorted by name."""
    found = []
    for name, factory in vars(keras.applications).items():
        if inspect.isfunction(factory) and {"include_top", "weights"} <= set(inspect.signature(factory).parameters):
            module = getattr(keras.applications, factory.__module__.rpartition(".")[2])
            found.append(Backbone(_our_name(name), factory, module))
    return tuple(sorted(found, key=lambda backbone: backbone.name))


def backbone_named(name: str) -> Backbone:
    """The backbone of that name, case, `_` and `-` ignored. ArgumentError lists names near it."""
    by_key = {_key(backbone.name): backbone for backbone in backbones()}
    backbone = by_key.get(_key(name))
    if backbone is None:
        near = difflib.get_close_matches(_key(name), by_key, n=5, cutoff=0.5)
        names = [by_key[key].name for key in near] or [backbone.name for backbone in backbones()]
        raise ArgumentError(f"backbone {name!r} is unknown ({'near it' if near else 'allowed'}: {', '.join(names)})")
    return backbone


def _key(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _our_name(keras_name: str) -> str:
    """`MobileNetV3Small` -> `mobilenet_v3_small`, `ResNet50V2` -> `resnet50_v2`."""
    parts = re.sub(r"(V\d)|(?<=[a-z\d])(B\d)$|(Small|Large|XLarge|Mobile(?!Net)|Tiny|Base)$", r"_\g<0>_", keras_name)
    parts = re.sub(r"(?<=V2_)([BSML]\d?)$", r"\1", parts).replace("InceptionResNet", "Inception_ResNet")
    return re.sub(r"_+", "_", parts).strip("_").lower()
