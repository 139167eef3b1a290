"""The engines that execute variants on the device: a table.

`ENGINES` is in the order in which `load` prefers them.
"""

from __future__ import annotations

from edgefeat._engines.engine import Engine
from edgefeat._errors import ArgumentError

__all__ = ["ENGINES", "engine_named"]

ENGINES = (
    Engine("litert", "ai_edge_litert", "ai-edge-litert", "litert", "tflite"),
    Engine("onnxruntime", "onnxruntime", "onnxruntime", "onnx", "onnx"),
    Engine("openvino", "openvino", "openvino", "openvino", "onnx"),
    Engine("tflite-runtime", "tflite_runtime", "tflite-runtime", "tflite", "tflite"),
)


def engine_named(name: str) -> Engine:
    """Return the engine `name`. Raises ArgumentError with the available engines."""
    for engine in ENGINES:
        if engine.name == name:
            return engine
    raise ArgumentError(f"engine {name!r} is unknown (allowed: {', '.join(engine.name for engine in ENGINES)})")
