"""What is to be exported, as one frozen record that travels to the subprocesses as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgefeat import ArgumentError

__all__ = ["Fit", "NetworkSpec", "Normalization", "Pooling", "input_size"]

Pooling = Literal["avg", "max", "gem", "flatten", "none"]
Normalization = Literal["l2", "none"]
Fit = Literal["stretch", "crop", "pad"]

_LARGEST_SIDE = 2048


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A backbone, where it is cut, what is baked in behind the cut, and the pictures it is fitted and checked on.

    `backbone` is a name or the path of a saved Keras model. `size` is height and width; None means the model's own.
    `preprocess` None means the backbone's own. `layers` empty means the backbone's last; `project` is the number of
    PCA dimensions. `calibration` is a folder of photos, or "synthetic"; `evaluation` a folder to measure fidelity on.
    """

    backbone: str
    alpha: float | None
    weights: str
    seed: int
    size: tuple[int, ...] | None
    preprocess: str | None
    layers: tuple[str, ...]
    pooling: Pooling
    normalization: Normalization
    project: int | None
    whiten: bool
    calibration: str
    evaluation: str | None
    fit: Fit


def input_size(value: int | str | Sequence[int]) -> tuple[int, int]:
    """Height and width from `224`, `"224"`, `"192x256"` or `(192, 256)`. Raises ArgumentError for anything else."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", value.strip())
        sides = [int(side) for side in match.groups() if side] if match else []
    else:
        sides = [value] if isinstance(value, int) else list(value)
    if len(sides) not in (1, 2) or not all(isinstance(side, int) and 1 <= side <= _LARGEST_SIDE for side in sides):
        raise ArgumentError(f"input size {value!r} (allowed: N or HEIGHTxWIDTH, each 1 to {_LARGEST_SIDE})")
    return sides[0], sides[-1]
