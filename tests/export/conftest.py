"""What the tests of the export share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


def _features(path: Path, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    # Imported here, because the tests that need no extra have this file too.
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    if path.suffix == ".tflite":
        interpreter = Interpreter(str(path), num_threads=2)
        run, name = interpreter.get_signature_runner(), interpreter.get_output_details()[0]["name"]
        return np.concatenate([run(image=picture[np.newaxis])[name] for picture in pictures])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": picture[np.newaxis]})[0] for picture in pictures])


@pytest.fixture(scope="session")
def features() -> Callable[[Path, NDArray[np.uint8]], NDArray[np.float32]]:
    """Rows (N, dimensions) of the first tap of a TFLite or ONNX file, by its own engine, for pictures (N, H, W, 3)."""
    return _features
