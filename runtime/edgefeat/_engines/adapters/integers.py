"""Variants of integers alone: the last steps to features, dequantization and L2 norm, in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.manifest import Integers, Quantization, Tap
from edgefeat._engines.adapters.interpreter import InterpreterSession
from edgefeat._errors import EngineError

__all__ = ["IntegerSession", "finished"]

#: The least squared length, as inside the other variants: a feature of zeros stays one.
_LEAST_SQUARE = np.float32(1e-12)


class IntegerSession:
    """A session on a model whose outputs are int8; its features are float32, as those of other variants."""

    def __init__(self, session: InterpreterSession, taps: Sequence[Tap], integers: Integers) -> None:
        self.thread_safe = session.thread_safe
        self.spins = session.spins
        self._session = session
        self._taps = tuple(taps)
        self._outputs = [integers.outputs[tap.name] for tap in taps]

    def run(self, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the features of `pictures` (N, H, W, 3): for each tap (N, *shape), float32."""
        rows = self._session.run(pictures)
        return [finished(row, tap, one) for row, tap, one in zip(rows, self._taps, self._outputs, strict=True)]


def finished(levels: NDArray[np.generic], tap: Tap, quantization: Quantization) -> NDArray[np.float32]:
    """Return the features (N, *tap.shape), float32, of a model's int8 output. Raises EngineError for another type."""
    if levels.dtype != np.int8:
        raise EngineError(f"the model gives {levels.dtype} for tap {tap.name} (the manifest says: int8)")
    values = (levels.astype(np.float32) - np.float32(quantization.zero_point)) * np.float32(quantization.scale)
    if tap.normalization == "none":
        return values
    square = np.square(values).sum(axis=tuple(range(1, values.ndim)), keepdims=True, dtype=np.float32)
    return np.asarray(values / np.sqrt(np.maximum(square, _LEAST_SQUARE)), np.float32)
