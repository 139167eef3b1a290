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
#: What torch counts and nobody needs.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Entry:
    """One array of a state dict: its name and shape there, and the variable that it belongs in."""

    name: str
    shape: tuple[int, ...]
    variable: Any
    axes: tuple[int, ...]
    sides: tuple[int, ...]

    def arranged(self, array: NDArray[np.generic]) -> NDArray[np.float32]:
        """The array as the variable has it: taken apart into `sides`, which are put in the order of `axes`."""
        apart = array.reshape(self.sides).transpose(self.axes)
        return np.ascontiguousarray(apart.reshape(tuple(self.variable.shape)), np.float32)


@dataclass(frozen=True, slots=True)
class StateDict:
    """What a state dict has beside an array for each layer of that name.

    `flattened` gives the channels, height and width of the map that a dense layer gets flattened; `top` are the
    names that a network without the top has no place for; `surplus` begin the names that none has.
    """

    flattened: Mapping[str, tuple[int, int, int]]
    top: tuple[str, ...]
    surplus: tuple[str, ...]

    def entries(self, model: keras.Model) -> Iterator[Entry]:
        """Every array that the network needs, in order."""
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
        """Whether an array of that name may be there though the network does not need it."""
        owner, _, what = name.rpartition(".")
        counts = what == _COUNTER and any(layer.name == owner for layer in model.layers)
        return counts or name in self.top or name.startswith(self.surplus)


def _vector(name: str, variable: Any) -> Entry:
    shape = tuple(variable.shape)
    return Entry(name, shape, variable, (0,), shape)
