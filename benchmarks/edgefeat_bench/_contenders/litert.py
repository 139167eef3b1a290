"""Plain LiteRT on what the stock converter makes of the Keras model: Pillow, NumPy, and one float32 picture."""

from __future__ import annotations

import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, affine, laid_out, pillow_picture
from edgefeat_bench._contenders.model_files import TFLITE_MODEL

__all__ = ["open_contender"]


def open_contender(task: Task) -> Opened:
    """The interpreter as its guide has it."""
    path, form, prepare = task.folder / TFLITE_MODEL, task.form(), affine(task.facts())
    interpreter = Interpreter(model_path=str(path), num_threads=task.threads)
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], [1, form.height, form.width, 3])
    interpreter.allocate_tensors()
    outputs = sorted(interpreter.get_output_details(), key=lambda one: str(one["name"]))
    order = [one["index"] for one in outputs]

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        pixels, decoded, resized = pillow_picture(picture, form)
        interpreter.set_tensor(given["index"], np.ascontiguousarray(prepare(pixels)))
        interpreter.invoke()
        features = laid_out([interpreter.get_tensor(index) for index in order])
        return Answer(features, (decoded - started, resized - decoded, time.perf_counter() - resized))

    return Opened(extract, ("ai-edge-litert", "numpy", "pillow"), path.stat().st_size)
