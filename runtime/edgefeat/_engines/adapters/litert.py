"""LiteRT (`ai-edge-litert`): the successor of TensorFlow Lite, with XNNPACK on every CPU."""

from __future__ import annotations

from ai_edge_litert.interpreter import Interpreter

from edgefeat._engines.adapters.greeting import without_greeting
from edgefeat._engines.adapters.interpreter import InterpreterSession

__all__ = ["open_session"]


def open_session(model: bytes, taps: tuple[str, ...], threads: int) -> InterpreterSession:
    """Open a session on a `.tflite` file. `Interpreter` verifies it; `CompiledModel` crashes on a truncated file."""
    with without_greeting():
        return InterpreterSession(Interpreter(model_content=model, num_threads=threads), taps)
