"""The TFLite interpreter, shared by LiteRT and tflite-runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import EngineError

__all__ = ["InterpreterSession"]


class InterpreterSession:
    """A session on an interpreter whose model takes one image at a time."""

    thread_safe = False
    spins = False

    def __init__(self, interpreter: Any, taps: tuple[str, ...]) -> None:
        interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        if given["dtype"] not in (np.uint8, np.int8):
            raise EngineError(f"the model's input is {np.dtype(given['dtype'])} (expected: uint8, or int8)")
        outputs = {_tap_name(output["name"]): output["index"] for output in interpreter.get_output_details()}
        if set(outputs) != set(taps):
            raise EngineError(f"the model's outputs are {sorted(outputs)} (expected: {sorted(taps)})")
        self._interpreter = interpreter
        self._input = given["index"]
        self._signed = given["dtype"] is np.int8
        self._outputs = [outputs[tap] for tap in taps]

    def run(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the outputs for `pictures` (N, H, W, 3): for each tap (N, *shape), float32 or the model's integers."""
        rows: list[list[NDArray[np.float32]]] = [[] for _ in self._outputs]
        if self._signed:
            pictures = (pictures ^ 128).view(np.int8)  # the pixel minus 128
        for picture in pictures:
            self._interpreter.set_tensor(self._input, picture[np.newaxis])
            self._interpreter.invoke()
            for row, index in zip(rows, self._outputs, strict=True):
                row.append(self._interpreter.get_tensor(index)[0])
        return [np.stack(row) for row in rows]


def _tap_name(tensor: str) -> str:
    return tensor.removesuffix(":0")
