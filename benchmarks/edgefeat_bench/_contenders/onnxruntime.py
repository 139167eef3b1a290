"""Plain ONNX Runtime, float32, on what Keras's own ONNX export gives: Pillow, NumPy, one session."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime

from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, affine, laid_out, pillow_picture
from edgefeat_bench._contenders.model_files import ONNX_MODEL

__all__ = ["open_contender"]


def open_contender(task: Task) -> Opened:
    """The session as its guide has it."""
    path, form, prepare = task.folder / ONNX_MODEL, task.form(), affine(task.facts())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        pixels, decoded, resized = pillow_picture(picture, form)
        features = laid_out(session.run(None, {given.name: np.ascontiguousarray(prepare(pixels))}))
        return Answer(features, (decoded - started, resized - decoded, time.perf_counter() - resized))

    return Opened(extract, ("onnxruntime", "numpy", "pillow"), path.stat().st_size)
