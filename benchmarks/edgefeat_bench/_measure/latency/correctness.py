"""Whether a contender gives the right features: nothing that is wrong may look fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.fidelity import cosines
from edgefeat_bench._contenders.kinds import COMMAND, KINDS
from edgefeat_bench._contenders.model_files import Prepared
from edgefeat_bench._records import Contender
from edgefeat_bench._setup.setup import Features, References

__all__ = ["Verdict", "verdict"]

# By so much another photo's reference may be nearer than the own one before the picture counts as mistaken.
_CONFUSED = 0.02


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the features are right, the least cosine of any photo, and a sentence if there is something to say."""

    right: bool
    minimum_cosine: float | None
    remark: str


def verdict(
    contender: Contender, found: Features, references: References, facts: Prepared, *, right_cosine: float
) -> Verdict:
    """What is to be said of the features `found`, (P, D) for each column."""
    kind = None if contender.kind == COMMAND else KINDS[contender.kind]
    if kind is not None and not kind.comparable:
        return Verdict(True, None, kind.trait)
    own = kind is not None and bool(kind.file)
    expected = references.model if own else references.bundle
    trait = f" ({kind.trait})" if kind is not None and kind.trait else ""
    remark = "" if facts.same_weights or not own else "held against Keras with weights of its own, not the bundle's"
    least, where = 2.0, ""
    for name, reference in expected.items():
        rows = found[name]
        if rows.shape != reference.shape:
            what = f"it gives {rows.shape[1]} numbers a picture, the bundle {reference.shape[1]}"
            return Verdict(False, None, what)
        if unfit := int(np.sum(~np.isfinite(rows).all(axis=1))):
            return Verdict(False, None, f"on {name} {unfit} of {len(rows)} features have numbers that are not finite")
        lowest = float(cosines(rows, reference).min())
        if lowest < least:
            least, where = lowest, name
        if mistaken := _mistaken(rows, reference):
            what = f"on {name} {mistaken} of {len(rows)} features are nearer to another photo's{trait}"
            return Verdict(False, least, what)
    if least < right_cosine:
        against = "Keras's" if own else f"those of {references.name}"
        known = kind is not None and least >= kind.least
        return Verdict(known, least, f"on {where} a feature has cosine {least:.3f} to {against}{trait}")
    return Verdict(True, least, remark)


def _mistaken(rows: NDArray[np.float32], reference: NDArray[np.float32]) -> int:
    """How many features are nearer to another photo's reference than to their own."""
    cross = np.stack([cosines(np.repeat(row[None], len(reference), 0), reference) for row in rows])
    return int(np.sum(cross.max(axis=1) > np.diag(cross) + _CONFUSED))
