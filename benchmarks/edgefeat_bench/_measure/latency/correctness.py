"""Whether a contender gives the right features: a wrong one must not look fast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.fidelity import cosines
from edgefeat_bench._contenders.model_files import ModelFacts
from edgefeat_bench._contenders.registry import COMMAND, KINDS
from edgefeat_bench._records import Contender
from edgefeat_bench._setup.setup import Features, References

# A feature is confused if another photo's reference is nearer than its own by more than this.
_CONFUSED = 0.02


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the features are right, the lowest cosine of any photo, and a remark if there is one."""

    right: bool
    minimum_cosine: float | None = None
    remark: str = ""


def verdict(
    contender: Contender, found: Features, references: References, facts: ModelFacts, *, right_cosine: float
) -> Verdict:
    """Judge the features `found`, (P, D) for each kind of photos."""
    kind = None if contender.kind == COMMAND else KINDS[contender.kind]
    if kind is not None and not kind.comparable:
        return Verdict(True, remark=kind.trait)
    from_keras = kind is not None and bool(kind.file)
    trait = f" ({kind.trait})" if kind is not None and kind.trait else ""
    lowest, where, mixed = 2.0, "", ""
    for photos, reference in (references.model if from_keras else references.bundle).items():
        rows = found[photos]
        if rows.shape != reference.shape:
            return Verdict(False, remark=f"it gives {rows.shape[1]} numbers, the bundle {reference.shape[1]}")
        if invalid := int(np.sum(~np.isfinite(rows).all(axis=1))):
            return Verdict(False, remark=f"on {photos} {invalid} of {len(rows)} features are not finite")
        if (cosine := float(cosines(rows, reference).min())) < lowest:
            lowest, where = cosine, photos
        if confused := _confused(rows, reference):
            mixed = mixed or f"on {photos} {confused} of {len(rows)} features are nearer to another photo's{trait}"
    # A known difference is none to be struck out for: with random weights, features of all photos are near each other.
    known = kind is not None and lowest >= kind.least
    if mixed:
        return Verdict(known, lowest, mixed)
    if lowest < right_cosine:
        against = "Keras's" if from_keras else f"those of {references.name}"
        return Verdict(known, lowest, f"on {where} a feature has cosine {lowest:.3f} to {against}{trait}")
    other_weights = from_keras and not facts.same_weights
    return Verdict(True, lowest, "compared with Keras with its own weights, not the bundle's" if other_weights else "")


def _confused(rows: NDArray[np.float32], reference: NDArray[np.float32]) -> int:
    cross = np.stack([cosines(np.repeat(row[None], len(reference), 0), reference) for row in rows])
    return int(np.sum(cross.max(axis=1) > np.diag(cross) + _CONFUSED))
