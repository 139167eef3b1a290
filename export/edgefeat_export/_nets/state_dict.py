"""How the arrays of a torch state dict go into a Keras network whose layers have the names of torch's modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = ["Entry", "StateDict"]

_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One array of a state dict: its name and shape there, and the variable that it belongs in."""

    name: str
    shape: tuple[int, ...]
    variable: Any
    order: tuple[int, ...]

    def arranged(self, array: NDArray[np.generic]) -> NDArray[np.float32]:
        """The array as the variable has it: channels last, inputs before outputs."""
        if len(self.order) > array.ndim:  # a dense layer behind a flattened map
            outputs, inputs = array.shape
            sides = self._flattened
            return (
                array.reshape(outputs, *sides).transpose(self.order).reshape(inputs, outputs).astype(np.float32)
            )
        return array.transpose(self.order).astype(np.float32)
