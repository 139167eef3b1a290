"""What a correction consists of, and what one did."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LADDER", "NONE", "Correction", "CorrectionReport"]


@dataclass(frozen=True, slots=True)
class Correction:
    """The pieces of a correction, each to be switched.

    `basis`: linear tensors are written in a basis in which 8 bits cost them least. `bias`: the mean of every output
    channel is that of the float model. `rounding`: weights are rounded so that a layer's outputs change least.
    `pairs`: the weights are such that x86 processors without VNNI do not saturate.
    """

    basis: bool = True
    bias: bool = True
    rounding: bool = True
    pairs: bool = True

    def __bool__(self) -> bool:
        """Whether anything is on."""
        return self.basis or self.bias or self.rounding or self.pairs


#: The stock tools' own rounding.
NONE = Correction(basis=False, bias=False, rounding=False, pairs=False)

#: What is tried, in this order, until the features are no further from the float ones than without correction.
LADDER = (Correction(), Correction(basis=False), Correction(basis=False, rounding=False), NONE)


@dataclass(frozen=True, slots=True)
class CorrectionReport:
    """`used` is what was kept of the correction; `without` and `corrected` are mean cosines to the float features.

    Both are of the ONNX int8 file on the checking pictures. `layers` have been corrected on `pictures` pictures;
    `skipped` are layers that could not be, `kept` those that stay float.
    """

    used: Correction
    layers: int
    skipped: tuple[str, ...]
    kept: int
    pictures: int
    without: float
    corrected: float
    seconds: float
