"""The state of Normalization layers, which compute with a copy of their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

__all__ = ["finalize", "square_deviations"]

# The deviations of ImageNet's pixels.
_DEVIATIONS = (0.229, 0.224, 0.225)


def finalize(model: Any, left_out: Callable[[Any], object] = lambda _: False) -> None:
    """Let the layers of a model of Keras 3 or tf-keras, of inner models too, compute with the weights they have now."""
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state") and not left_out(layer):
            layer.finalize_state()


def square_deviations(model: keras.Model) -> None:
    """Give a Normalization variances in place of deviations, which Keras's weights of EfficientNet B0 to B7 have.

    A network that Keras builds with its ImageNet weights divides by the root of the deviation once more. One that it
    builds without them, such as `model`, does not. https://github.com/tensorflow/tensorflow/issues/49930
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            deviations = np.asarray(layer.adapt_variance)
            if deviations.shape == (3,) and np.allclose(deviations, _DEVIATIONS, rtol=0, atol=1e-5):
                layer.adapt_variance.assign(deviations**2)
