"""What happens to pixels before the first layer: a backbone's own, a named mode of Keras, or mean and deviation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from edgefeat import ArgumentError

__all__ = ["MODES", "preprocessing_named"]

MODES = ("tf", "torch", "caffe", "raw")


def preprocessing_named(text: str) -> Callable[[Any], Any]:
    """From float32 RGB 0..255 (N, H, W, 3), tensor or array, to what the first layer takes.

    `tf`, `torch` and `caffe` are the modes of `keras.applications.imagenet_utils.preprocess_input`; `raw` changes
    nothing; `R,G,B/R,G,B` subtracts a mean and divides by a deviation, of pixels scaled to 0..1 where no figure is
    above 1, else of pixels as they are.
    """
    if text == "raw":
        return _raw
    if text in MODES:
        return lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode=text)
    number = r"\s*([0-9]*\.?[0-9]+)\s*"
    match = re.fullmatch(f"{number},{number},{number}/{number},{number},{number}", text)
    figures = np.array([float(figure) for figure in match.groups()] if match else [0.0] * 6, np.float64)
    mean, deviation = figures[:3], figures[3:]
    if (deviation <= 0).any():
        raise ArgumentError(
            f"preprocessing {text!r} is unknown (allowed: {', '.join(MODES)}, or R,G,B/R,G,B: mean / deviation above 0)"
        )
    if figures.max() <= 1:
        mean, deviation = mean * 255, deviation * 255
    scale, shift = (1 / deviation).astype(np.float32), (-mean / deviation).astype(np.float32)
    return lambda pixels: pixels * scale + shift


def _raw(pixels: Any) -> Any:
    return pixels
