"""A trunk: a backbone cut at layers, whatever it was built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import keras

from edgefeat import ArgumentError
from edgefeat_export._models.hub.tokens import KnownTokens
from edgefeat_export._models.saved.graph import calls, is_model
from edgefeat_export._spec import Fit

__all__ = ["Trunk", "check_layers"]


@dataclass(frozen=True, slots=True)
class Trunk:
    """A backbone cut at one or more layers: from preprocessed float32 images to the output of each layer.

    `name` is the backbone's, `size` is height and width. `preprocess` converts float32 RGB 0..255 (N, H, W, 3) to the
    input of `model`, which is (N, H, W, 1) or (N, H, W) if `color` is "gray"; `preprocessing` describes it in words.
    `notes` are for the user. `fit` is how the backbone's own preprocessing fits a photo to the size, `tokens` what its
    tokens are, if either is known.
    """

    name: str
    model: keras.Model
    size: tuple[int, int]
    layers: tuple[str, ...]
    preprocess: Callable[[Any], Any]
    preprocessing: str
    color: Literal["rgb", "gray"] = "rgb"
    notes: tuple[str, ...] = ()
    fit: Fit | None = None
    tokens: KnownTokens | None = None


def check_layers(model: Any) -> None:
    """Raise ArgumentError, naming the layer, if a layer of the trunk is known not to convert."""
    for call in calls(model):
        layer = call.layer
        if is_model(layer):
            check_layers(layer)
        elif type(layer).__name__ in ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM2D", "Bidirectional"):
            raise ArgumentError(
                f"layer {layer.name!r} ({type(layer).__name__}) contains a loop, which cannot be converted: "
                "cut before it with --layer"
            )
