"""What the tests of the export share."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import MadeOnce


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


@pytest.fixture(scope="session")
def tiny_model(made_once: MadeOnce) -> Path:
    """The small model that the bundles of `tests/data` are made of, saved by Keras. To be read only."""

    def fill(folder: Path) -> None:
        made = runpy.run_path(str(Path(__file__).parents[1] / "data" / "make_bundles.py"))
        made["tiny_model"]().save(folder / "tiny.keras")

    return made_once("tiny model", fill) / "tiny.keras"
