"""The records of a correction: its pieces, and its result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

__all__ = ["ALL_PIECES", "LADDER", "MIXED", "NONE", "PIECES", "Correction", "CorrectionReport", "allowed"]


@dataclass(frozen=True, slots=True)
class Correction:
    """The pieces of a correction, each of which can be switched off.

    `basis`: linear tensors are written in the basis in which rounding to 8 bits loses least. `bias`: the mean of every
    output channel equals that of the float model. `rounding`: weights are rounded so that a layer's outputs change
    least. `pairs`: the weights do not saturate x86 processors without VNNI. `ranges`: rare values of an activation
    saturate, so that the others are rounded less.
    """

    basis: bool = True
    bias: bool = True
    rounding: bool = True
    pairs: bool = True
    ranges: bool = True

    def __bool__(self) -> bool:
        """Return whether any piece is on."""
        return any(getattr(self, piece) for piece in PIECES)


#: The names of the pieces.
PIECES = tuple(piece.name for piece in fields(Correction))

#: The piece that does not change weights: the first layers stay in float if that is not slower.
MIXED = "mixed"

#: All pieces of the correction, as named in `--correction`.
ALL_PIECES = (*PIECES, MIXED)

#: The stock tools' own rounding.
NONE = Correction(**dict.fromkeys(PIECES, False))

#: Corrections to try, in this order, until the features are at least as close to the float features as with `NONE`.
LADDER = (
    Correction(),
    Correction(basis=False),
    Correction(basis=False, rounding=False),
    Correction(basis=False, rounding=False, ranges=False),
)


def allowed(pieces: Collection[str]) -> tuple[Correction, ...]:
    """Return `LADDER` with only `pieces` switched on, without duplicates and without `NONE`."""
    rungs = [Correction(**{piece: piece in pieces and getattr(rung, piece) for piece in PIECES}) for rung in LADDER]
    return tuple(rung for rung in dict.fromkeys(rungs) if rung)


@dataclass(frozen=True, slots=True)
class CorrectionReport:
    """The correction that was kept, and what it gained.

    `used` is the correction, `NONE` if nothing helped. `without` and `corrected` are mean cosines to the float features
    on the checking images, each of the worse int8 file. `layers` counts the corrected ones; `skipped` are layers that
    could not be corrected. `ranges` are those chosen for activations, by the name of the tensor.
    """

    used: Correction
    layers: int
    skipped: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]
    without: float
    corrected: float
