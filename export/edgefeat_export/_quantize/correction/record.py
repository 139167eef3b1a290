"""What a correction consists of, and what one did."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

__all__ = ["LADDER", "NONE", "PIECES", "Correction", "CorrectionReport", "allowed"]


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


#: The names of the pieces.
PIECES = tuple(piece.name for piece in fields(Correction))

#: The stock tools' own rounding.
NONE = Correction(basis=False, bias=False, rounding=False, pairs=False)

#: What is tried, in this order, until the features are no further from the float ones than with `NONE`.
LADDER = (
    Correction(),
    Correction(basis=False),
    Correction(basis=False, rounding=False),
)


def allowed(pieces: Collection[str]) -> tuple[Correction, ...]:
    """`LADDER` with only `pieces` switched on, each form once, without `NONE`."""
    rungs = [
        Correction(**{piece.name: piece.name in pieces and getattr(rung, piece.name) for piece in fields(rung)})
        for rung in LADDER
    ]
    return tuple(rung for rung in dict.fromkeys(rungs) if rung)


@dataclass(frozen=True, slots=True)
class CorrectionReport:
    """What was kept of a correction, and what it brought.

    `used` is what was kept, `NONE` where nothing helped. `without` and `corrected` are mean cosines to the float
    features on the checking pictures, each of the int8 file that is further from them. `layers` were corrected on
    `pictures` pictures; `skipped` are layers that could not be, `kept` counts the nodes that stay float; `seconds` are
    those of all that was tried.
    """

    used: Correction
    layers: int
    skipped: tuple[str, ...]
    kept: int
    pictures: int
    without: float
    corrected: float
    seconds: float
