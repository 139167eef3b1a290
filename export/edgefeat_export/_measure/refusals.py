"""The record of a variant that was not written: why, and what to use instead."""

from __future__ import annotations

from edgefeat._bundle.manifest import Fidelity, Refusal

__all__ = ["refusal"]

#: What to use instead of a variant, the most similar first.
_SUBSTITUTES = {
    "tflite-float16": ("tflite-float32",),
    "tflite-dynamic": ("tflite-float16", "tflite-float32"),
    "tflite-int8": ("tflite-dynamic", "tflite-float16", "tflite-float32"),
    "tflite-integer": ("tflite-int8", "tflite-dynamic", "tflite-float16", "tflite-float32"),
    "onnx-float32": ("tflite-float32",),
    "onnx-int8": ("onnx-float32",),
}


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
