"""OpenVINO on x86: slow to load, often the fastest to run."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import EngineError

# If `import openvino` finds this package, it sends telemetry with an identifier from the home folder.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python spells "not to be imported"

import openvino  # noqa: E402  only once the other cannot be imported

__all__ = ["open_session"]


class _OpenVinoSession:
    # The compiled model may be shared, but there is one request, and it serves one thread at a time.
    thread_safe = False
    spins = True

    def __init__(self, compiled: Any, taps: tuple[str, ...]) -> None:
        (given,) = compiled.inputs
        if given.get_element_type() != openvino.Type.u8:
            raise EngineError(f"the model's input is {given.get_element_type()} (expected: u8)")
        outputs = {name: index for index, output in enumerate(compiled.outputs) for name in output.get_names()}
        if not set(taps) <= outputs.keys() or len(compiled.outputs) != len(taps):
            raise EngineError(f"the model's outputs are {sorted(outputs)} (expected: {sorted(taps)})")
        self._request = compiled.create_infer_request()
        self._outputs = [outputs[tap] for tap in taps]

    def run(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the features of `pictures` (N, H, W, 3): for each tap (N, *shape), float32."""
        rows: list[list[NDArray[np.float32]]] = [[] for _ in self._outputs]
        for picture in pictures:
            self._request.infer([picture[np.newaxis]])
            for row, index in zip(rows, self._outputs, strict=True):
                row.append(self._request.get_output_tensor(index).data[0].copy())
        return [np.stack(row) for row in rows]


def open_session(model: bytes, taps: tuple[str, ...], threads: int) -> _OpenVinoSession:
    """Open a session on an `.onnx` file for one image at a time: a fixed batch compiles to a faster graph."""
    core = openvino.Core()
    network = core.read_model(model)
    network.reshape([1, *(int(side.get_length()) for side in list(network.input(0).get_partial_shape())[1:])])
    # Without this, processors with bfloat16 would use it: faster, but the features would differ from the manifest's.
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    return _OpenVinoSession(core.compile_model(network, "CPU", settings), taps)
