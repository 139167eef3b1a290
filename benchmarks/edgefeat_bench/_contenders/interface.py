"""What all contenders share: task, answer, and an image as users of Pillow prepare it."""

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
from edgefeat_bench._contenders.model_files import ModelFacts
from edgefeat_bench._records import Contender

#: An image as a contender gets it: the path of a file, or uint8 RGB (H, W, 3) in memory.
Picture: TypeAlias = "str | NDArray[np.uint8]"
#: The prepared image, uint8 (height, width, 3), and when it was decoded and resized, by `perf_counter`.
Prepared: TypeAlias = tuple[NDArray[np.uint8], float, float]


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is asked to run. `prepared` is the folder of `model_files`; `threads` is for one image."""

    contender: Contender
    bundle: str
    prepared: str
    threads: int

    @property
    def folder(self) -> Path:
        """The folder of model files."""
        return Path(self.prepared)

    def facts(self) -> ModelFacts:
        """Return what is known of the Keras model."""
        return ModelFacts.read(self.folder)

    def form(self) -> PictureForm:
        """Return the size and fit of the image that the model takes."""
        return edgefeat.Bundle.open(self.bundle).manifest.picture


@dataclass(frozen=True, slots=True)
class Answer:
    """All taps' features in one array, float32 (D,), and the seconds to decode, resize and infer if known.

    A stage is None where it is part of the next one.
    """

    feature: NDArray[np.float32]
    laps: tuple[float, float | None, float] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A contender that is ready: its function, the distributions it uses, and the size of its model file.

    `remark` says what it chose, if it had a choice. `making_seconds` went into making its model file, once for all
    runs: they are no part of its start.
    """

    extract: Callable[[Picture], Answer]
    distributions: tuple[str, ...]
    model_bytes: int | None
    remark: str = ""
    making_seconds: float = 0.0


def pillow_picture(picture: Picture, form: PictureForm) -> Prepared:
    """Decode every pixel and resize with smoothing, as `keras.utils.load_img` does."""
    if isinstance(picture, str):
        with Image.open(picture) as opened:
            opened.load()
            # `convert` would copy an image that is RGB already.
            image = opened if opened.mode == "RGB" else opened.convert("RGB")
    else:
        image = Image.fromarray(picture)
    decoded, size = time.perf_counter(), (form.width, form.height)
    if form.fit == "crop":
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    elif form.fit == "pad":
        image = ImageOps.pad(image, size, Image.Resampling.BILINEAR)
    else:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels, decoded, time.perf_counter()


def timed_stages(
    infer: Callable[[NDArray[np.uint8]], Any],
    form: PictureForm,
    prepare: Callable[[Picture, PictureForm], Prepared] = pillow_picture,
) -> Callable[[Picture], Answer]:
    """Return the function from an image to its feature that times each stage. `infer` takes uint8 (H, W, 3)."""

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        pixels, decoded, resized = prepare(picture, form)
        features = flat(infer(pixels))
        return Answer(features, (decoded - started, resized - decoded, time.perf_counter() - resized))

    return extract


def affine(facts: ModelFacts) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return the backbone's preprocessing in NumPy: from uint8 (H, W, 3) to contiguous float32 (1, H, W, 3)."""
    scale, shift = np.asarray(facts.scale, np.float32), np.asarray(facts.shift, np.float32)

    def preprocess(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        ordered = pixels[..., ::-1] if facts.reversed else pixels
        return np.ascontiguousarray(ordered.astype(np.float32) * scale + shift)[np.newaxis]

    return preprocess


def flat(outputs: Any) -> NDArray[np.float32]:
    """Return the features of all taps in one array, (D,), from one output or a list, each of a batch of one."""
    taps = outputs if isinstance(outputs, list | tuple) else [outputs]
    return np.concatenate([np.asarray(tap, np.float32).ravel() for tap in taps])
