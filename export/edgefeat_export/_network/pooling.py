"""Pool a feature map or tokens to one vector: which pooling a layer can have, in Keras operations and in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from edgefeat import ArgumentError
from edgefeat._bundle.manifest import Pooling, Tokens
from edgefeat_export._models.hub.tokens import KnownTokens, tokens_of
from edgefeat_export._spec import NetworkSpec

__all__ = ["LayerPooling", "layer_pooling", "pool", "pooled"]

Array = NDArray[np.float32]

_GEM_POWER = 3.0  # Radenovic, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation, 2018
_GEM_FLOOR = 1e-6

#: The poolings of feature maps and of tokens. The mean is named differently: tokens have two.
_OF_MAPS = ("avg", "max", "gem", "flatten", "none")
_OF_TOKENS = ("cls", "mean", "mean-patches", "max", "gem", "flatten", "none")


@dataclass(frozen=True, slots=True)
class LayerPooling:
    """How one layer's output is pooled; `tokens` is None for a feature map or a vector. `notes` are for the user."""

    name: Pooling
    tokens: Tokens | None = None
    notes: tuple[str, ...] = ()

    @property
    def special(self) -> int:
        """The number of tokens before the patches."""
        return 0 if self.tokens is None else len(self.tokens.special)


def layer_pooling(
    spec: NetworkSpec, layer: str, shape: Sequence[int | None], size: tuple[int, int], known: KnownTokens | None
) -> LayerPooling:
    """Return the pooling of a layer whose output has that shape, for images of `size`.

    Without `spec.pooling` it is the mean for a feature map, and for tokens what the backbone's authors use, else the
    mean. Raises ArgumentError if the layer cannot have the pooling.
    """
    if len(shape) == 2:
        return LayerPooling("none")  # already a vector: nothing to pool
    if len(shape) not in (3, 4):
        raise ArgumentError(
            f"layer {layer!r} has {len(shape) - 1} dimensions, shape {tuple(shape[1:])} "
            "(allowed: a feature map H x W x C, tokens T x D or a vector)"
        )
    if None in shape[1:]:
        raise ArgumentError(f"layer {layer!r} has no fixed size, {tuple(shape[1:])}: set --input-size")
    if len(shape) == 4:
        name = {None: "avg", "mean": "avg"}.get(spec.pooling, spec.pooling)
        if name not in _OF_MAPS:
            raise ArgumentError(
                f"pooling {name} does not apply to layer {layer!r}, which gives a feature map {_told(shape)} "
                f"(allowed: {', '.join(_OF_MAPS)})"
            )
        return LayerPooling(name)  # type: ignore[arg-type]  # one of the literals
    tokens, assumed = tokens_of(int(shape[1] or 0), size, known)
    notes = [] if assumed is None else [f"layer {layer!r}: {assumed}"]
    default = tokens.authors_pooling or "mean"
    name = {None: default, "avg": "mean"}.get(spec.pooling, spec.pooling)
    if name not in _OF_TOKENS or (name == "cls" and "class" not in tokens.special):
        allowed = [one for one in _OF_TOKENS if one != "cls" or "class" in tokens.special]
        raise ArgumentError(
            f"pooling {name} does not apply to layer {layer!r}: its {_told(shape)} tokens have no class token "
            f"(allowed: {', '.join(allowed)})"
        )
    if spec.pooling is None:
        whose = "as the backbone's authors do" if tokens.authors_pooling else "how its authors pool is not known"
        notes.append(f"layer {layer!r} gives {_told(shape)} tokens, pooled by {name}: {whose}")
    return LayerPooling(name, tokens, tuple(notes))


def _told(shape: Sequence[int | None]) -> str:
    return " x ".join(map(str, shape[1:]))


def pool(feature: Any, pooling: LayerPooling) -> Any:
    """Return the pooled Keras tensor, in operations that every converter supports."""
    axes = (1, 2) if pooling.tokens is None else (1,)
    patches = feature[:, pooling.special :] if pooling.special else feature
    match pooling.name:
        case "avg":
            return keras.layers.GlobalAveragePooling2D()(feature)
        case "cls":
            return feature[:, 0]
        case "mean":
            return ops.mean(feature, axis=axes)
        case "mean-patches":
            return ops.mean(patches, axis=axes)
        case "max":
            return keras.layers.GlobalMaxPooling2D()(feature) if len(axes) == 2 else ops.max(patches, axis=axes)
        case "gem":
            powers = ops.power(ops.maximum(patches, _GEM_FLOOR), _GEM_POWER)
            return ops.power(ops.mean(powers, axis=axes), 1.0 / _GEM_POWER)
        case "flatten":
            return keras.layers.Flatten()(feature)
    grid = _unpooled(pooling)
    return ops.reshape(feature, (-1, *grid, feature.shape[-1])) if grid else feature


def pooled(outputs: Array, pooling: LayerPooling) -> Array:
    """Return the pooled output of a layer, by NumPy: float32 (N, ...)."""
    axes = (1, 2) if pooling.tokens is None else (1,)
    patches = outputs[:, pooling.special :] if pooling.special else outputs
    match pooling.name:
        case "avg" | "mean":
            return np.asarray(outputs.mean(axis=axes), np.float32)
        case "cls":
            return outputs[:, 0]
        case "mean-patches":
            return np.asarray(patches.mean(axis=axes), np.float32)
        case "max":
            return np.asarray(patches.max(axis=axes))
        case "gem":
            powers = np.maximum(patches.astype(np.float64), _GEM_FLOOR) ** _GEM_POWER
            return np.asarray(powers.mean(axis=axes) ** (1.0 / _GEM_POWER), np.float32)
        case "flatten":
            return outputs.reshape(len(outputs), -1)
    grid = _unpooled(pooling)
    return outputs.reshape(len(outputs), *grid, outputs.shape[-1]) if grid else outputs


def _unpooled(pooling: LayerPooling) -> tuple[int, ...]:
    """Return the grid in which tokens that are not pooled are arranged: only if all of them are patches."""
    tokens = pooling.tokens
    return () if tokens is None or tokens.special else tokens.grid
