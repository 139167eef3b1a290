"""What a correction consists of, and what one did."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

__all__ = ["LADDER", "NONE", "PIECES", "Correction", "CorrectionReport", "Range", "allowed"]


@dataclass(frozen=True, slots=True)
class Correction:
    """The pieces of a correction, each to be switched.

    `basis`: linear tensors are written in a basis in which 8 bits cost them least. `bias`: the mean of every output
    channel is that of the float model. `rounding`: weights are rounded so that a layer's outputs change least.
    `pairs`: the weights are such that x86 processors without VNNI do not saturate. `ranges`: of linear tensors the few
    greatest values are clipped where that makes the squared error less; it is off because it costs more on the worst
    picture than it gains on the mean (MobileNetV2 0.35: 0.963 for 0.990, and 0.9970 for 0.9967).
    """

    basis: bool = True
    bias: bool = True
    rounding: bool = True
    pairs: bool = True
    ranges: bool = False

    def __bool__(self) -> bool:
        """Whether anything is on."""
        return self.basis or self.bias or self.rounding or self.pairs or self.ranges


#: The names of the pieces that pay.
PIECES = tuple(piece.name for piece in fields(Correction) if piece.default)

#: The stock tools' own rounding.
NONE = Correction(basis=False, bias=False, rounding=False, pairs=False)

#: What is tried, in this order, until the features are no further from the float ones than without correction.
LADDER = (
    Correction(),
    Correction(basis=False),
    Correction(basis=False, rounding=False),
    NONE,
)


def allowed(pieces: Collection[str]) -> tuple[Correction, ...]:
    """`LADDER` with only `pieces` switched on, each form once, without `NONE`."""
    rungs = [
        Correction(**{piece.name: piece.name in pieces and getattr(rung, piece.name) for piece in fields(rung)})
        for rung in LADDER
    ]
    return tuple(rung for rung in dict.fromkeys(rungs) if rung)


@dataclass(frozen=True, slots=True)
class Range:
    """The range of a tensor's 8-bit grid; both formats know the tensor by this name."""

    tensor: str
    least: float
    greatest: float


@dataclass(frozen=True, slots=True)
class CorrectionReport:
    """What was kept of a correction, and what it brought.

    `used` is what was kept; `ranges` are to be handed to both int8 conversions. `without` and `corrected` are mean
    cosines to the float features, of the ONNX int8 file on the checking pictures. `layers` were corrected on
    `pictures` pictures; `skipped` are layers that could not be, `kept` counts the nodes that stay float.
    """

    used: Correction
    ranges: tuple[Range, ...]
    layers: int
    skipped: tuple[str, ...]
    kept: int
    pictures: int
    without: float
    corrected: float
    seconds: float
