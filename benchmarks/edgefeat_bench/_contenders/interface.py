"""What all contenders share: what they are told, what they answer, and the picture as Pillow users prepare it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import edgefeat
from edgefeat._images.form import PictureForm
from edgefeat_bench._contenders.model_files import Prepared
from edgefeat_bench._records import Contender

__all__ = ["Answer", "Laps", "Opened", "Picture", "Task", "affine", "laid_out", "pillow_picture"]

#: A picture as a contender is given it: the path of a file, or uint8 RGB (H, W, 3) already in memory.
Picture: TypeAlias = "str | NDArray[np.uint8]"

#: Seconds to decode, to resize and to infer; None where a contender's stage is inside the next one.
Laps: TypeAlias = "tuple[float, float | None, float]"


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is told. `prepared` is the folder of `_prepared`; `threads` is for one picture."""

    contender: Contender
    bundle: str
    prepared: str
    threads: int

    @property
    def folder(self) -> Path:
        """The folder of what was prepared."""
        return Path(self.prepared)

    def facts(self) -> Prepared:
        """What is known of the prepared Keras model."""
        return Prepared.read(self.folder)

    def form(self) -> PictureForm:
        """The picture the model takes."""
        return edgefeat.Bundle.open(self.bundle).manifest.picture


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one picture: the taps' features one after the other, float32 (D,), and the stages if known."""

    feature: NDArray[np.float32]
    laps: Laps | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A contender that is ready: what it does, the distributions it is made of, and its model file's size.

    `remark` says what it chose by itself, if it chose.
    """

    extract: Callable[[Picture], Answer]
    distributions: tuple[str, ...]
    model_bytes: int | None
    remark: str = ""


def pillow_picture(picture: Picture, form: PictureForm) -> tuple[NDArray[np.uint8], float, float]:
    """The prepared picture, uint8 (height, width, 3), and when it was decoded and resized, by `perf_counter`.

    Every pixel is decoded and scaled with smoothing, as `keras.utils.load_img` does.
    """
    if isinstance(picture, str):
        with Image.open(picture) as opened:
            image = opened.convert("RGB")
    else:
        image = Image.fromarray(picture)
    decoded = time.perf_counter()
    size = (form.width, form.height)
    if form.fit == "crop":
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    elif form.fit == "pad":
        image = ImageOps.pad(image, size, Image.Resampling.BILINEAR)
    else:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels, decoded, time.perf_counter()


def affine(facts: Prepared) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The backbone's preprocessing in NumPy: from uint8 (H, W, 3) to float32 (1, H, W, 3)."""
    scale, shift = np.asarray(facts.scale, np.float32), np.asarray(facts.shift, np.float32)

    def prepare(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        ordered = pixels[..., ::-1] if facts.reversed else pixels
        return np.asarray(ordered.astype(np.float32) * scale + shift)[np.newaxis]

    return prepare


def laid_out(outputs: Any) -> NDArray[np.float32]:
    """The taps' features one after the other, (D,), from one output or a list of them, each with a batch of one."""
    taps = outputs if isinstance(outputs, list | tuple) else [outputs]
    return np.concatenate([np.asarray(tap, np.float32).ravel() for tap in taps])
