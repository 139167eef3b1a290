"""Assign the arrays of a torch state dict to a Keras network whose layers have the names of torch's modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = ["Entry", "StateDict"]

_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
#: A counter that torch stores with every batch norm; it is not used.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Entry:
    """One array of a state dict: its name and shape there, and the Keras variable it belongs to."""

    name: str
    shape: tuple[int, ...]
    variable: Any
    axes: tuple[int, ...]
    sides: tuple[int, ...]

    def arranged(self, array: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the array in the variable's layout: reshaped to `sides`, then transposed to `axes`."""
        apart = array.reshape(self.sides).transpose(self.axes)
        return np.ascontiguousarray(apart.reshape(tuple(self.variable.shape)), np.float32)


@dataclass(frozen=True, slots=True)
class StateDict:
    """The differences between a state dict and a Keras network with the same layer names.

    `flattened` gives the channels, height and width of the map that a dense layer receives flattened; `top` are arrays
    that a network without its top does not use; `surplus` are prefixes of arrays that no network uses.
    """

    flattened: Mapping[str, tuple[int, int, int]]
    top: tuple[str, ...]
    surplus: tuple[str, ...]

    def entries(self, model: keras.Model) -> Iterator[Entry]:
        """Yield every array that the network requires, in order."""
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                height, width, inputs, outputs = layer.kernel.shape
                shape = (outputs, inputs, height, width)
                yield Entry(f"{layer.name}.weight", shape, layer.kernel, (2, 3, 1, 0), shape)
            elif isinstance(layer, keras.layers.Dense):
                inputs, outputs = layer.kernel.shape
                sides = (outputs, *self.flattened.get(layer.name, (inputs,)))
                axes = (2, 3, 1, 0) if len(sides) == 4 else (1, 0)
                yield Entry(f"{layer.name}.weight", (outputs, inputs), layer.kernel, axes, sides)
            elif isinstance(layer, keras.layers.BatchNormalization):
                for name, attribute in _NORM.items():
                    yield _vector(f"{layer.name}.{name}", getattr(layer, attribute))
            if getattr(layer, "bias", None) is not None:
                yield _vector(f"{layer.name}.bias", layer.bias)

    def ignores(self, name: str, model: keras.Model) -> bool:
        """Return whether an array of that name is allowed although the network does not use it."""
        owner, _, what = name.rpartition(".")
        counts = what == _COUNTER and any(layer.name == owner for layer in model.layers)
        return counts or name in self.top or name.startswith(self.surplus)


def _vector(name: str, variable: Any) -> Entry:
    shape = tuple(variable.shape)
    return Entry(name, shape, variable, (0,), shape)
