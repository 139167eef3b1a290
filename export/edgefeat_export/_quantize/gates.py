"""The gate that each variant must pass to be written, and the record of a variant that does not.

The float32 TFLite file must be faithful, or the export fails: every other file is made from it or compared with the
same features. Any other variant that misses its gate is left out, and the rest is written.
"""

from __future__ import annotations

from edgefeat._bundle.gate import GATED, shortfall
from edgefeat._bundle.manifest import Fidelity, Gate, Refusal

__all__ = ["refusal", "unfaithful"]

#: The figure that is checked for each precision, and its lowest value. Below it, the conversion is broken, not only
#: coarse. For float16 the mean is checked, because single images may vary. The user sets the gate of int8.
_LEAST = {"float32": ("minimum", 0.9999), "float16": ("mean", 0.999), "dynamic": ("mean", 0.9)}

#: The same for float32 with a camera frame as its input: rounding differs by one level in some pixels.
_LEAST_FRAME = ("mean", 0.9995)

#: What to use instead of a variant, the most similar first.
_SUBSTITUTES = {
    "tflite-float16": ("tflite-float32",),
    "tflite-dynamic": ("tflite-float16", "tflite-float32"),
    "tflite-int8": ("tflite-dynamic", "tflite-float16", "tflite-float32"),
    "tflite-integer": ("tflite-int8", "tflite-dynamic", "tflite-float16", "tflite-float32"),
    "onnx-float32": ("tflite-float32",),
    "onnx-int8": ("onnx-float32",),
}


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


def refusal(variant: str, reason: str, others: dict[str, dict[str, Fidelity]]) -> Refusal:
    """Return the record of a variant that was not written; `others` are the written ones, with fidelity by tap."""
    base, _, frame = variant.partition("@")
    substitutes = (base,) if frame else _SUBSTITUTES.get(variant, ())
    substitute = next((name for name in substitutes if name in others), None)
    advice = ""
    if substitute is not None:
        cosine = min(figures.mean_cosine for figures in others[substitute].values())
        advice = f"; use {substitute} instead (mean cosine {cosine:.4f})"
    # The last output of a converter may contain line breaks and colour codes, which a manifest may not.
    printable = "".join(character if character.isprintable() else " " for character in reason)
    return Refusal(variant, f"{variant} was not written: {' '.join(printable.split())}{advice}", substitute)
