"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import EngineError

# Since 1.29 it reports the model, the machine and an identifier from the home folder unless this is set.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["open_session"]


class _OnnxSession:
    thread_safe = True
    spins = True

    def __init__(self, session: onnxruntime.InferenceSession, taps: tuple[str, ...]) -> None:
        (given,) = session.get_inputs()
        if given.type != "tensor(uint8)":
            raise EngineError(f"the model's input is {given.type} (expected: tensor(uint8))")
        outputs = {output.name for output in session.get_outputs()}
        if outputs != set(taps):
            raise EngineError(f"the model's outputs are {sorted(outputs)} (expected: {sorted(taps)})")
        self._session = session
        self._input = given.name
        self._taps = list(taps)

    def run(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the features of `pictures` (N, H, W, 3): for each tap (N, *shape), float32."""
        features: list[NDArray[np.float32]] = self._session.run(self._taps, {self._input: pictures})
        return features


def open_session(model: bytes, taps: tuple[str, ...], threads: int) -> _OnnxSession:
    """Open a session on the bytes of an `.onnx` file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings are about optimisations that do not matter to a user
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return _OnnxSession(session, taps)
