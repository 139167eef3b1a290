"""tflite-runtime 2.14: the last release, and the only engine for 32-bit Raspberry Pi OS."""

from __future__ import annotations

import numpy as np

from edgefeat._engines.adapters.greeting import without_greeting
from edgefeat._engines.adapters.interpreter import InterpreterSession
from edgefeat._errors import EngineError

__all__ = ["open_session"]


def open_session(model: bytes, taps: tuple[str, ...], threads: int) -> InterpreterSession:
    """Open a session on a `.tflite` file. Raises EngineError under NumPy 2, which this engine does not support."""
    if int(np.__version__.split(".")[0]) >= 2:
        raise EngineError(
            f"tflite-runtime does not support NumPy {np.__version__} (required: below 2): pip install 'numpy<2'"
        )
    from tflite_runtime.interpreter import Interpreter

    with without_greeting():
        return InterpreterSession(Interpreter(model_content=model, num_threads=threads), taps)
