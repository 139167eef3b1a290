"""MediaPipe's ImageEmbedder, given one of the bundle's own .tflite files as it is."""

from __future__ import annotations

import sys
import time

# Where it is installed it is imported, for nothing that is used here: a device has none.
sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]  # how Python spells "not to be imported"

import mediapipe  # noqa: E402  only once the other cannot be imported
import numpy as np  # noqa: E402
from mediapipe.tasks.python import BaseOptions, vision  # noqa: E402

import edgefeat  # noqa: E402
from edgefeat import EdgefeatError  # noqa: E402
from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, laid_out  # noqa: E402

__all__ = ["open_contender"]


def open_contender(task: Task) -> Opened:
    """The embedder as its guide has it. It scales pictures itself, within what is timed as inference."""
    variant = edgefeat.Bundle.open(task.bundle).variant(str(task.contender.variant))
    if variant.format != "tflite":
        raise EdgefeatError(f"it takes .tflite files, not {variant.name}")
    model = BaseOptions(model_asset_path=f"{task.bundle}/{variant.file.name}")
    embedder = vision.ImageEmbedder.create_from_options(vision.ImageEmbedderOptions(base_options=model))

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        if isinstance(picture, str):
            image = mediapipe.Image.create_from_file(picture)
        else:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
        decoded = time.perf_counter()
        found = embedder.embed(image)
        features = laid_out([np.asarray(one.embedding) for one in found.embeddings])
        return Answer(features, (decoded - started, None, time.perf_counter() - decoded))

    return Opened(extract, ("mediapipe",), variant.file.size)
