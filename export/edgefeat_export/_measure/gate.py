"""The gate that each variant must pass to be written.

The float32 TFLite file must be faithful, or the export fails: every other file is made from it or compared with the
same features. Any other variant that misses its gate is left out, and the rest is written.
"""

from __future__ import annotations

from edgefeat._bundle.gate import GATED, shortfall
from edgefeat._bundle.manifest import Fidelity, Gate

__all__ = ["unfaithful"]

#: The figure that is checked for each precision, and its lowest value. Below it, the conversion is broken, not only
#: coarse. For float16 the mean is checked, because single images may vary. The user sets the gate of int8.
_LEAST = {"float32": ("minimum", 0.9999), "float16": ("mean", 0.999), "dynamic": ("mean", 0.9)}

#: The same for float32 with a camera frame as its input: rounding differs by one level in some pixels.
_LEAST_FRAME = ("mean", 0.9995)


def unfaithful(variant: str, fidelity: dict[str, Fidelity], gate: Gate) -> str | None:
    """Return a description of the first tap that misses the variant's gate, or None if all taps pass.

    `gate` is that of int8; the other precisions have their own.
    """
    base, _, frame = variant.partition("@")
    precision = base.partition("-")[2]
    if precision in GATED:
        return shortfall(gate, fidelity)
    name, allowed = _LEAST_FRAME if frame and precision == "float32" else _LEAST[precision]
    for tap, figures in fidelity.items():
        figure = figures.minimum_cosine if name == "minimum" else figures.mean_cosine
        if figure < allowed:
            return (
                f"its {name} cosine to Keras over {figures.pictures} images is {figure:.6f} for tap {tap} "
                f"(allowed: {allowed} or more), its largest difference {figures.maximum_difference:.3g}"
            )
    return None
