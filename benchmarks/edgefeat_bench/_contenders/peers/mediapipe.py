"""MediaPipe's ImageEmbedder with one of the bundle's own .tflite files."""

from __future__ import annotations

import sys
import time

# MediaPipe imports it if it is installed, and uses it for nothing here.
sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]  # prevents its import

import mediapipe  # noqa: E402  after the line above
import numpy as np  # noqa: E402
from mediapipe.tasks.python import BaseOptions, vision  # noqa: E402

import edgefeat  # noqa: E402
from edgefeat import EdgefeatError  # noqa: E402
from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, flat  # noqa: E402


def open_contender(task: Task) -> Opened:
    """The embedder as in its guide. It resizes images itself, as part of inference."""
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
        features = flat([np.asarray(one.embedding) for one in found.embeddings])
        return Answer(features, (decoded - started, None, time.perf_counter() - decoded))

    return Opened(extract, ("mediapipe",), variant.file.size)
