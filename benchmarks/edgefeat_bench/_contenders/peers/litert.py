"""LiteRT with the file of the stock converter: Pillow, NumPy, and one float32 image."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgefeat_bench._contenders.interface import Opened, Task, affine, timed_stages
from edgefeat_bench._contenders.model_files import TFLITE_MODEL


def open_contender(task: Task) -> Opened:
    """The interpreter as in its guide."""
    path, form, preprocess = task.folder / TFLITE_MODEL, task.form(), affine(task.facts())
    interpreter = Interpreter(model_path=str(path), num_threads=task.threads)
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], [1, form.height, form.width, 3])
    interpreter.allocate_tensors()
    outputs = sorted(interpreter.get_output_details(), key=lambda one: str(one["name"]))

    def infer(pixels: NDArray[np.uint8]) -> list[Any]:
        interpreter.set_tensor(given["index"], preprocess(pixels))
        interpreter.invoke()
        return [interpreter.get_tensor(one["index"]) for one in outputs]

    return Opened(timed_stages(infer, form), ("ai-edge-litert", "numpy", "pillow"), path.stat().st_size)
