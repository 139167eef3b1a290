"""Builds a backbone by name with its weights, and cuts it at layers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError, ExportError
from edgefeat_export._backbones import Backbone, backbone_named
from edgefeat_export._network import Trunk
from edgefeat_export._spec import NetworkSpec

__all__ = ["build_trunk"]

_FITTING_PICTURES = 32


def build_trunk(spec: NetworkSpec, pictures: NDArray[np.uint8]) -> Trunk:
    """The backbone that `spec` names, cut at its layers; nothing behind the last cut is in it.

    `pictures`, uint8 (N, H, W, 3), fit the batch norms of random weights. Raises ArgumentError for a name, option,
    layer or size that cannot be, and ExportError where the weights cannot be had.
    """
    keras.utils.set_random_seed(spec.seed)
    backbone = backbone_named(spec.backbone)
    whole = _with_weights(backbone, spec)
    model, layers = _cut(whole, spec.layers)
    trunk = Trunk(model, layers, backbone.module.preprocess_input)
    if spec.weights == "random":
        _fit_batch_norms(model, trunk.preprocess, pictures[:_FITTING_PICTURES])
    return trunk


def _with_weights(backbone: Backbone, spec: NetworkSpec) -> keras.Model:
    if spec.weights not in ("imagenet", "random"):
        raise ArgumentError(f"weights {spec.weights!r} are unknown (allowed: imagenet, random)")
    options: dict[str, Any] = {}
    if spec.alpha is not None:
        if not backbone.accepts("alpha"):
            raise ArgumentError(f"backbone {backbone.name} has no alpha: leave --alpha out")
        options["alpha"] = spec.alpha
    weights = None if spec.weights == "random" else "imagenet"
    try:
        return backbone.factory(include_top=False, weights=weights, input_shape=(spec.height, spec.width, 3), **options)
    except ValueError as error:
        raise ArgumentError(
            f"backbone {backbone.name} cannot be built at {spec.height}x{spec.width}"
            + (f" with alpha {spec.alpha}" if spec.alpha is not None else "")
            + f": {_one_line(error)}"
        ) from error
    except Exception as error:  # Keras raises a bare Exception where a download fails
        if weights is None:
            raise
        raise ExportError(_no_weights(backbone, error)) from error


def _no_weights(backbone: Backbone, error: Exception) -> str:
    text = _one_line(error)
    address = re.search(r"https?://\S+/([\w.\-]+\.h5)", text)
    file = address.group(1) if address else "its weights file"
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return (
        f"the imagenet weights of {backbone.name} can neither be found in {os.path.join(home, 'models')} nor "
        f"downloaded ({text}). Three ways out: run once where there is a network; set KERAS_HOME to a folder that has "
        f"models/{file}; or try things out with --weights random, whose features mean nothing"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _cut(whole: keras.Model, names: tuple[str, ...]) -> tuple[keras.Model, tuple[str, ...]]:
    if not names:
        last = whole.layers[-1]
        return whole, (last.name,)
    if len(set(names)) != len(names):
        raise ArgumentError(f"layers {', '.join(names)} repeat a name")
    known = [layer.name for layer in whole.layers]
    for name in names:
        if name not in known:
            raise ArgumentError(f"layer {name!r} is not in {whole.name} (its last are: {', '.join(known[-8:])})")
    return keras.Model(whole.inputs, [whole.get_layer(name).output for name in names]), names


def _fit_batch_norms(model: keras.Model, preprocess: Callable[[Any], Any], pictures: NDArray[np.uint8]) -> None:
    """Gives every batch norm the statistics of `pictures`, so that random weights do not make all features alike."""
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    before = [norm.momentum for norm in norms], [dropout.rate for dropout in dropouts]
    for norm in norms:
        norm.momentum = 0.0
    for dropout in dropouts:
        dropout.rate = 0.0
    model(preprocess(pictures.astype(np.float32)), training=True)
    for norm, momentum in zip(norms, before[0], strict=True):
        norm.momentum = momentum
    for dropout, rate in zip(dropouts, before[1], strict=True):
        dropout.rate = rate
