"""The fidelity gate: the least fidelity that an int8 variant must reach at export, and a candidate in `tune`."""

from __future__ import annotations

import re

from edgefeat._bundle.manifest import Fidelity, Gate
from edgefeat._errors import ArgumentError

__all__ = ["DEFAULT_GATE", "GATED", "GATED_IN_TUNE", "parse_gate", "shortfall"]

DEFAULT_GATE = Gate(mean_cosine=0.98, overlap=None)

#: The precisions that must reach the gate at export, and in `tune`. The export has its own threshold for dynamic.
GATED = ("int8", "integer")
GATED_IN_TUNE = (*GATED, "dynamic")


def parse_gate(text: str) -> Gate:
    """Parse a gate such as `0.98`, `cosine=0.98`, `overlap=0.9`, or several of these separated by commas.

    Figures not named are not checked. Raises ArgumentError for anything else.
    """
    figures: dict[str, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(?:(cosine|overlap)\s*=)?\s*(\d*\.?\d+)\s*", part)
        if match is None or not 0 <= float(match[2]) <= 1:
            raise ArgumentError(f"fidelity {text!r} (allowed: a mean cosine such as 0.98, and overlap=0.9; 0 to 1)")
        name = match[1] or "cosine"
        if name in figures:
            raise ArgumentError(f"fidelity {text!r} names {name} twice (allowed: once)")
        figures[name] = float(match[2])
    return Gate(mean_cosine=figures.get("cosine", 0.0), overlap=figures.get("overlap"))


def shortfall(gate: Gate, fidelity: dict[str, Fidelity]) -> str | None:
    """Return how the first tap that fails the gate fails it, in words, or None if all taps pass."""
    for tap, figures in fidelity.items():
        if figures.mean_cosine < gate.mean_cosine:
            return (
                f"its mean cosine to Keras over {figures.pictures} images is {figures.mean_cosine:.4f} for tap {tap} "
                f"(allowed: {gate.mean_cosine:g} or more)"
            )
        if gate.overlap is not None and (figures.overlap is None or figures.overlap < gate.overlap):
            found = "unknown with so few images" if figures.overlap is None else f"{figures.overlap:.3f}"
            return (
                f"its neighbour overlap@10 with Keras over {figures.pictures} images is {found} for tap {tap} "
                f"(allowed: {gate.overlap:g} or more)"
            )
    return None
