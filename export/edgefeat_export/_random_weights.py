"""Random weights whose features say something of the picture, so that what a conversion does can be measured."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgefeat_export._network import Trunk

__all__ = ["condition"]

_PICTURES = 64
_BRANCH_SCALE = 0.25


def condition(trunk: Trunk, pictures: NDArray[np.uint8]) -> None:
    """Fits every batch norm of a randomly initialised trunk to `pictures`, uint8 (N, height, width, 3).

    Without it all features would be alike. Where a batch norm ends a residual branch, the branch is made weak: deep
    random networks are chaotic and would make noise of the least rounding. Training begins the same way (Goyal et al.,
    "Accurate, Large Minibatch SGD", 2017, with zero; De and Smith, "Batch Normalization Biases Residual Blocks Towards
    the Identity Function", 2020).
    """
    _weaken_branches(trunk.model)
    norms = [layer for layer in trunk.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    dropouts = [layer for layer in trunk.model.layers if isinstance(layer, keras.layers.Dropout)]
    momenta, rates = [norm.momentum for norm in norms], [dropout.rate for dropout in dropouts]
    for norm in norms:
        norm.momentum = 0.0
    for dropout in dropouts:
        dropout.rate = 0.0
    trunk.model(trunk.preprocess(pictures[:_PICTURES].astype(np.float32)), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for dropout, rate in zip(dropouts, rates, strict=True):
        dropout.rate = rate


def _weaken_branches(model: keras.Model) -> None:
    place = {layer.name: index for index, layer in enumerate(model.layers)}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Add):
            continue
        ends = [norm for source in layer.input if (norm := _norm_before(source)) is not None]
        if ends:  # where both sides end in one, the deeper is the branch and the other the projected shortcut
            branch = max(ends, key=lambda norm: place[norm.name])
            branch.gamma.assign(branch.gamma * _BRANCH_SCALE)


def _norm_before(tensor: Any) -> Any:
    """The batch norm with a scale that made this tensor, dropouts in between passed over; None if there is none."""
    layer = tensor._keras_history.operation
    while isinstance(layer, keras.layers.Dropout):
        layer = layer.input._keras_history.operation
    is_norm = isinstance(layer, keras.layers.BatchNormalization) and layer.scale
    return layer if is_norm else None
