"""What a correction consists of."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Correction"]


@dataclass(frozen=True, slots=True)
class Correction:
    """The pieces of a correction, each to be switched.

    `bias`: the mean of every output channel is that of the float model. `rounding`: weights are rounded so that a
    layer's outputs change least. `pairs`: the weights are such that x86 processors without VNNI do not saturate.
    """

    bias: bool = True
    rounding: bool = True
    pairs: bool = True
    equalization: bool = True
