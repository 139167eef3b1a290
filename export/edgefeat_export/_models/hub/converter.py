"""KerasHub's image converter as edgefeat's preprocessing and image size, and what of it cannot be kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefeat_export._models.preprocessing import preprocessing_named
from edgefeat_export._spec import Fit

__all__ = ["Converted", "converted", "saved_converter"]


@dataclass(frozen=True, slots=True)
class Converted:
    """What an image converter does, in edgefeat's terms.

    `size` is height and width, or None if it does not resize. `preprocess` converts float32 RGB 0..255 to the input of
    the first layer; `preprocessing` is its name, as `--preprocess` takes it where that is possible. `notes` say what
    cannot be kept.
    """

    size: tuple[int, int] | None
    fit: Fit
    preprocess: Callable[[Any], Any]
    preprocessing: str
    notes: tuple[str, ...]


def converted(converter: Any) -> Converted:
    """Return what a `keras_hub.layers.ImageConverter` does.

    It resizes, multiplies by `scale`, then adds `offset`, each one number or one for each colour.
    """
    size = None if converter.image_size is None else (int(converter.image_size[0]), int(converter.image_size[1]))
    fit: Fit = "stretch"
    if converter.crop_to_aspect_ratio:
        fit = "crop"
    elif getattr(converter, "pad_to_aspect_ratio", False):
        fit = "pad"
    scale, offset = _colours(converter.scale, 1.0), _colours(converter.offset, 0.0)
    name = _name(scale, offset)
    if name is not None:
        return Converted(size, fit, preprocessing_named(name), name, _lost(converter))
    factor, shift = scale.astype(np.float32), offset.astype(np.float32)
    words = f"RGB * {_told(scale)} + {_told(offset)}"
    return Converted(size, fit, lambda pixels: pixels * factor + shift, words, _lost(converter))


def saved_converter(model: Any) -> Converted | None:
    """Return what the image converter of a saved task of KerasHub, such as an ImageClassifier, does; else None."""
    converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
    return None if converter is None else converted(converter)


def _colours(value: float | Sequence[float] | None, default: float) -> np.ndarray[Any, Any]:
    return np.broadcast_to(np.asarray(default if value is None else value, np.float64), (3,))


def _name(scale: np.ndarray[Any, Any], offset: np.ndarray[Any, Any]) -> str | None:
    """Return the preprocessing's name; None if it cannot be written as a mean and a deviation."""
    if np.allclose(offset, 0, atol=1e-7) and np.allclose(scale, scale[0], rtol=1e-7):
        for plain, name in ((1.0, "raw"), (1 / 255, "unit")):
            if np.isclose(scale[0], plain, rtol=1e-6):
                return name
    if np.allclose(scale, 1 / 127.5, rtol=1e-6) and np.allclose(offset, -1, rtol=1e-6):
        return "tf"
    if (scale <= 0).any():
        return None
    mean, deviation = -offset / scale, 1 / scale
    if (mean < 0).any() or max(mean.max(), deviation.max()) <= 1:
        return None
    return f"{_told(mean)}/{_told(deviation)}"


def _told(values: np.ndarray[Any, Any]) -> str:
    return ",".join(f"{value:.9f}".rstrip("0").rstrip(".") for value in values)


def _lost(converter: Any) -> tuple[str, ...]:
    """Return notes on how edgefeat's resize differs; it is bilinear with antialiasing."""
    if converter.image_size is None:
        return ()
    notes = []
    if converter.interpolation != "bilinear":
        notes.append(
            f"KerasHub resizes this network's images by {converter.interpolation} interpolation, edgefeat by bilinear: "
            "features of a photo differ a little from KerasHub's; those of an image of the network's size do not"
        )
    if not converter.antialias:
        notes.append(
            "KerasHub resizes this network's images without antialiasing, edgefeat with it: features of large photos "
            "differ from KerasHub's; those of an image of the network's size do not"
        )
    if getattr(converter, "pad_to_aspect_ratio", False):
        notes.append("KerasHub pads images with black: edgefeat pads them the same way (--fit pad)")
    return tuple(notes)
