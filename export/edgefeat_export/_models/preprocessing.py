"""Preprocessing of pixels before the first layer: the backbone's own, a named mode of Keras, or mean and deviation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from edgefeat import ArgumentError
from edgefeat_export._spec import MODES

__all__ = ["gray", "preprocessing_named"]

#: The weights of red, green and blue in the gray of ITU-R 601-2, in 65536ths, as Pillow's `convert("L")` rounds them.
_GRAY = np.array([19595, 38470, 7471], np.float32)
_GRAY_SCALE = 65536


def preprocessing_named(text: str, color: Literal["rgb", "gray"] = "rgb") -> Callable[[Any], Any]:
    """Return a function from float32 pixels 0..255 (N, H, W, C), tensor or array, to the input of the first layer.

    `tf` (-1 to 1), `torch` and `caffe` are the modes of `keras.applications.imagenet_utils.preprocess_input`; `unit`
    divides by 255 (0 to 1); `raw` changes nothing; `R,G,B/R,G,B`, or `M/D` for all channels, subtracts a mean and
    divides by a deviation: of pixels scaled to 0..1 if no number is above 1, else of unscaled pixels. Raises
    ArgumentError for anything else, and for a mode with three colours if images are gray.
    """
    if text == "raw":
        return _raw
    if text == "unit":
        return lambda pixels: pixels * np.float32(1 / 255)
    if color == "gray" and text in ("torch", "caffe"):
        raise ArgumentError(
            f"preprocessing {text!r} requires three colours, but the model takes gray images "
            "(allowed: unit, tf, raw, or MEAN/DEVIATION)"
        )
    if text in MODES:
        return lambda pixels: keras.applications.imagenet_utils.preprocess_input(pixels, mode=text)
    mean, deviation = _figures(text, color)
    if max(mean.max(), deviation.max()) <= 1:
        mean, deviation = mean * 255, deviation * 255
    scale, shift = (1 / deviation).astype(np.float32), (-mean / deviation).astype(np.float32)
    return lambda pixels: pixels * scale + shift


def _figures(text: str, color: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return mean and deviation, of each channel or of all channels."""
    number = r"\s*([0-9]*\.?[0-9]+)\s*"
    match = re.fullmatch(f"{number},{number},{number}/{number},{number},{number}", text)
    match = match or re.fullmatch(f"{number}/{number}", text)
    figures = np.array([float(figure) for figure in match.groups()] if match else [0.0, 0.0], np.float64)
    mean, deviation = np.split(figures, 2)
    if (deviation <= 0).any():
        raise ArgumentError(
            f"preprocessing {text!r} is unknown (allowed: {', '.join(MODES)}, or MEAN/DEVIATION, each one number or "
            "R,G,B, with a deviation above 0)"
        )
    if color == "gray":
        if len(set(mean)) > 1 or len(set(deviation)) > 1:
            raise ArgumentError(
                f"preprocessing {text!r} differs by colour, but the model takes gray images (allowed: one number "
                "each, such as 0/255)"
            )
        return mean[:1], deviation[:1]
    return mean, deviation


def gray(pixels: Any) -> Any:
    """Return the gray values (N, H, W, 1) of RGB pixels 0..255 (N, H, W, 3): whole numbers as float32, tensor or array.

    The result equals Pillow's `convert("L")`, and so `keras.utils.load_img(color_mode="grayscale")`: every step is
    exact in float32. Gray images, whose channels are equal, do not change.
    """
    total = ops.sum(pixels * _GRAY, axis=-1, keepdims=True) + np.float32(_GRAY_SCALE / 2)
    return ops.floor(total * np.float32(1 / _GRAY_SCALE))


def _raw(pixels: Any) -> Any:
    return pixels
