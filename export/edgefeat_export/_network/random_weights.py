"""Random weights whose features say something of the picture, so that what a conversion does can be measured."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgefeat_export._network.heads import Trunk

__all__ = ["condition"]

#: Pictures that batch norms are fitted to: the most, and the fewest where they take much memory.
_PICTURES, _FEWEST = 64, 8

#: Bytes that the largest layer's output may take for all of these pictures together.
_LARGEST = 200_000_000

_BRANCH_SCALE = 0.25


def condition(trunk: Trunk, pictures: NDArray[np.uint8]) -> None:
    """Fits every batch norm of a randomly initialised trunk to `pictures`, uint8 (N, height, width, 3).

    Without it all features would be alike. Where a batch norm ends a residual branch, the branch is made weak: deep
    random networks are chaotic and would make noise of the least rounding. Training begins the same way (Goyal et al.,
    "Accurate, Large Minibatch SGD", 2017, with zero; De and Smith, "Batch Normalization Biases Residual Blocks Towards
    the Identity Function", 2020).
    """
    norms = [layer for layer in trunk.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    _weaken_branches(trunk.model)
    dropouts = [layer for layer in trunk.model.layers if isinstance(layer, keras.layers.Dropout)]
    momenta, rates = [norm.momentum for norm in norms], [dropout.rate for dropout in dropouts]
    for norm in norms:
        norm.momentum = 0.0
    for dropout in dropouts:
        dropout.rate = 0.0
    # As a graph, which forgets each layer's output once nothing needs it; called as it is, Keras holds them all.
    train = tf.function(lambda given: trunk.model(given, training=True))
    train(trunk.preprocess(pictures[: _affordable(trunk.model)].astype(np.float32)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for dropout, rate in zip(dropouts, rates, strict=True):
        dropout.rate = rate


def _affordable(model: keras.Model) -> int:
    """Return how many pictures to fit to, by the layer whose output is the largest."""
    outputs = [output for layer in model.layers for output in keras.tree.flatten(layer.output)]
    largest = 4 * max(int(np.prod(output.shape[1:])) for output in outputs)
    return min(_PICTURES, max(_FEWEST, _LARGEST // largest))


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
