"""Make random weights whose features depend on the image, so that the effect of a conversion can be measured."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgefeat_export._network.trunk import Trunk

__all__ = ["condition"]

#: Images that batch norms are fitted to: the most, and the fewest if they take much memory.
_PICTURES, _FEWEST = 64, 8

#: Bytes that the largest layer's output may take for all these images.
_LARGEST = 200_000_000

_BRANCH_SCALE = 0.25


def condition(trunk: Trunk, pictures: NDArray[np.uint8]) -> None:
    """Fit every batch norm of a randomly initialised trunk to `pictures`, uint8 (N, height, width, 3).

    Without this all features would be nearly equal. If a batch norm ends a residual branch, the branch is weakened:
    deep random networks are chaotic and amplify the smallest rounding error to noise. Training starts the same way
    (Goyal et al., "Accurate, Large Minibatch SGD", 2017, with zero; De and Smith, "Batch Normalization Biases Residual
    Blocks Towards the Identity Function", 2020).
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
    # Run it as a graph, which frees each layer's output after its last use; called directly, Keras keeps them all.
    train = tf.function(lambda given: trunk.model(given, training=True))
    train(trunk.preprocess(pictures[: _affordable(trunk.model)].astype(np.float32)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for dropout, rate in zip(dropouts, rates, strict=True):
        dropout.rate = rate


def _affordable(model: keras.Model) -> int:
    """Return how many images to fit to, given the layer with the largest output."""
    outputs = [output for layer in model.layers for output in keras.tree.flatten(layer.output)]
    largest = 4 * max(int(np.prod(output.shape[1:])) for output in outputs)
    return min(_PICTURES, max(_FEWEST, _LARGEST // largest))


def _weaken_branches(model: keras.Model) -> None:
    place = {layer.name: index for index, layer in enumerate(model.layers)}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Add):
            continue
        ends = [norm for source in layer.input if (norm := _norm_before(source)) is not None]
        if ends:  # if both sides end in one, the deeper is the branch and the other the projected shortcut
            branch = max(ends, key=lambda norm: place[norm.name])
            branch.gamma.assign(branch.gamma * _BRANCH_SCALE)


def _norm_before(tensor: Any) -> Any:
    """Return the batch norm with a scale that computed this tensor, skipping dropouts; None if there is none."""
    layer = tensor._keras_history.operation
    while isinstance(layer, keras.layers.Dropout):
        layer = layer.input._keras_history.operation
    is_norm = isinstance(layer, keras.layers.BatchNormalization) and layer.scale
    return layer if is_norm else None
