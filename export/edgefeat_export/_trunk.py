"""Builds a backbone by name with its weights, and cuts it at layers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError, ExportError
from edgefeat_export._backbones import Backbone, backbone_named
from edgefeat_export._cut import cut
from edgefeat_export._model_file import is_model_file, load_model
from edgefeat_export._network import Trunk
from edgefeat_export._preprocessing import preprocessing_named
from edgefeat_export._spec import NetworkSpec

__all__ = ["build_trunk", "fit_batch_norms"]

_FITTING_PICTURES = 32
_DEFAULT_SIZE = 224


def build_trunk(spec: NetworkSpec) -> Trunk:
    """The backbone that `spec` names, or the saved model at that path, cut at its layers; nothing behind is left.

    Raises ArgumentError for a name, option, layer or size that cannot be, and ExportError where the weights cannot be
    had.
    """
    keras.utils.set_random_seed(spec.seed)
    if is_model_file(spec.backbone):
        name, whole = Path(spec.backbone).name.partition(".")[0], load_model(spec)
        preprocessing = spec.preprocess or "raw"
        preprocess = preprocessing_named(preprocessing)
    else:
        backbone = backbone_named(spec.backbone)
        name, whole = backbone.name, _with_weights(backbone, spec)
        preprocessing = spec.preprocess or backbone.preprocessing
        preprocess = preprocessing_named(spec.preprocess) if spec.preprocess else backbone.module.preprocess_input
    model, layers = cut(whole, spec.layers)
    height, width = whole.inputs[0].shape[1:3]
    return Trunk(name, model, (int(height), int(width)), layers, preprocess, preprocessing)


def fit_batch_norms(trunk: Trunk, pictures: NDArray[np.uint8]) -> None:
    """Gives every batch norm the statistics of `pictures`, so that random weights do not make all features alike.

    `pictures` are uint8 (N, height, width, 3).
    """
    norms = [layer for layer in trunk.model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    dropouts = [layer for layer in trunk.model.layers if isinstance(layer, keras.layers.Dropout)]
    momenta, rates = [norm.momentum for norm in norms], [dropout.rate for dropout in dropouts]
    for norm in norms:
        norm.momentum = 0.0
    for dropout in dropouts:
        dropout.rate = 0.0
    trunk.model(trunk.preprocess(pictures[:_FITTING_PICTURES].astype(np.float32)), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for dropout, rate in zip(dropouts, rates, strict=True):
        dropout.rate = rate


def _with_weights(backbone: Backbone, spec: NetworkSpec) -> keras.Model:
    if spec.weights not in ("imagenet", "random"):
        raise ArgumentError(f"weights {spec.weights!r} are unknown (allowed: imagenet, random)")
    options: dict[str, Any] = {}
    if spec.alpha is not None:
        if not backbone.accepts("alpha"):
            raise ArgumentError(f"backbone {backbone.name} has no alpha: leave --alpha out")
        options["alpha"] = spec.alpha
    weights = None if spec.weights == "random" else "imagenet"
    height, width = spec.size or (_DEFAULT_SIZE, _DEFAULT_SIZE)
    try:
        return backbone.factory(include_top=False, weights=weights, input_shape=(height, width, 3), **options)
    except ValueError as error:
        raise ArgumentError(
            f"backbone {backbone.name} cannot be built at {height}x{width}"
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
