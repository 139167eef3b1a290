"""Choose the range of an activation tensor so that rounding it to 8 bits changes what follows least."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from edgefeat_export._quantize.correction.execution import Chunks, extremes
from edgefeat_export._quantize.correction.layers import Floats

__all__ = ["Range", "best_range", "following"]

#: The lowest and the highest value.
Range = tuple[float, float]

#: An activation function.
Function = Callable[[Floats], Floats]

_LEVELS = 255

#: Values of a tensor in the sample, as many from each image.
_SAMPLED = 100_000

#: The shares of the extremes that are tried, one end after the other, this number of times.
_SHARES = np.linspace(0.02, 1, 50)
_TURNS = 2

#: A tensor with one position, such as those of squeeze-and-excitation, has few values to tell its range from: its range
#: is this much wider than what was seen.
_WIDER = 1.25

#: Values of a tensor that no activation function follows saturate only if that leaves at most this share of the error:
#: in other photos more values may be beyond the range.
_GAIN = 0.5

_FUNCTIONS: dict[tuple[str, ...], Function] = {
    ("Mul", "Sigmoid"): lambda x: np.asarray(x * expit(x)),
    ("Sigmoid",): expit,
    ("HardSwish",): lambda x: np.asarray(x * np.clip(x / 6 + 0.5, 0, 1)),
}


def following(users: Collection[Any]) -> Function | None:
    """Return the activation function that the nodes `users` compute of their tensor; None if they compute others."""
    kinds = tuple(sorted(node.op_type for node in users))
    if len(kinds) == 2 and kinds in _FUNCTIONS:
        product, gate = sorted(users, key=lambda node: node.op_type != "Mul")
        return _FUNCTIONS[kinds] if gate.output[0] in product.input else None
    return _FUNCTIONS.get(kinds)


def best_range(chunks: Chunks, function: Function | None, random: np.random.Generator) -> Range | None:
    """Return the range for a tensor with the values `chunks`, of which only `function` is used; None: the observed one.

    The mean square error after rounding and the function is smallest (after Choukroun et al.: Low-bit Quantization of
    Neural Networks for Efficient Inference, 2019; Banner et al.: Post training 4-bit quantization, 2019): rare values
    saturate, so that the others are rounded less, and what a swish makes almost zero takes few levels.
    """
    least, greatest = extremes(chunks)
    least, greatest = min(least, 0.0), max(greatest, 0.0)
    if all(size == 1 for size in chunks[0].shape[2:]):
        return least * _WIDER, greatest * _WIDER
    values = _sample(chunks, random)
    wanted = values if function is None else function(values)

    def error(low: float, high: float) -> float:
        rounded = _rounded(values, low, high)
        difference = (rounded if function is None else function(rounded)) - wanted
        return float(np.dot(difference, difference))

    low, high = least, greatest
    for _ in range(_TURNS):
        high = min((greatest * share for share in _SHARES), key=lambda end: error(low, end))
        low = min((least * share for share in _SHARES), key=lambda end: error(end, high)) if least < 0 else low
    if function is None and error(low, high) > _GAIN * error(least, greatest):
        return None
    return low, high


def _sample(chunks: Chunks, random: np.random.Generator) -> Floats:
    each = -(-_SAMPLED // sum(len(chunk) for chunk in chunks))
    flat = [chunk.reshape(len(chunk), -1) for chunk in chunks]
    if each >= flat[0].shape[1]:
        return np.concatenate(flat).reshape(-1)
    return np.concatenate([rows[:, random.integers(0, rows.shape[1], each)].reshape(-1) for rows in flat])


def _rounded(values: Floats, low: float, high: float) -> Floats:
    """Return the values on the grid of 256 levels from `low` to `high`."""
    scale = np.float32((high - low) / _LEVELS or 1.0)
    zero = np.float32(np.clip(np.rint(-low / scale), 0, _LEVELS))
    levels: NDArray[np.float32] = np.clip(np.rint(values / scale) + zero, 0, _LEVELS)
    return (levels - zero) * scale
