"""LiteRT (`ai-edge-litert`): TensorFlow Lite's successor, XNNPACK on every CPU."""

from __future__ import annotations

from ai_edge_litert.interpreter import Interpreter

from edgefeat._engines.adapters.greeting import without_greeting
from edgefeat._engines.adapters.interpreter import InterpreterSession

__all__ = ["open_session"]


def open_session(model: bytes, taps: tuple[str, ...], threads: int) -> InterpreterSession:
    """A session on a `.tflite` file's bytes. `Interpreter` verifies them; `CompiledModel` dies on a cut file."""
    with without_greeting():
        return InterpreterSession(Interpreter(model_content=model, num_threads=threads), taps)
