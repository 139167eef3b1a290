"""Verifying that this machine reproduces the bundle's features, with golden vectors and each installed engine."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.fidelity import cosines
from edgefeat._bundle.golden import KERAS, Golden, read_golden
from edgefeat._bundle.manifest import INTEGER, Variant
from edgefeat._bundle.reader import Bundle
from edgefeat._engines.engine import open_variant, run
from edgefeat._engines.probe import unusable
from edgefeat._engines.registry import engine_named
from edgefeat._engines.selection import Choice, candidates, default_threads
from edgefeat._errors import EngineError
from edgefeat._images.frames.pixels import frame_of

__all__ = ["Check", "verify"]

#: Largest allowed absolute difference to the variant's golden features, for features of length 1.
_TOLERANCES = {"float32": 1e-4, "float16": 1e-3}
_SAME_ENGINE_COSINE = 0.999
_OTHER_ENGINE_SLACK = 0.02


@dataclass(frozen=True, slots=True)
class Check:
    """One variant on one engine, compared with its golden features (`difference`, `cosine`) and Keras (`keras_cosine`).

    Each figure is the worst over the golden images and taps, or None if the status is `failed`; for a variant that
    takes frames `keras_cosine` is None.
    """

    variant: str
    engine: str
    engine_version: str
    status: Literal["ok", "off", "failed"]
    detail: str
    difference: float | None = None
    cosine: float | None = None
    keras_cosine: float | None = None


def verify(
    bundle: str | os.PathLike[str] | Bundle, *, variant: str | None = None, engine: str | None = None
) -> tuple[Check, ...]:
    """Check the hash of every file, then each variant on each installed engine. Return one Check for each pair.

    float32 must be within 1e-4 of its golden features and float16 within 1e-3, multiplied by the largest feature value
    if that exceeds 1. int8 and dynamic must reach cosine 0.999 on the engine that wrote them; on other engines, the
    cosine to Keras may be at most 0.02 below the manifest's minimum. Variants that take frames are given frames made
    from the golden images; on other engines than their own the cosine to their golden features counts.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    for file in opened.manifest.files():
        opened.read(file)
    golden = read_golden(opened)
    choices = list(candidates(opened, variant, engine))
    if variant is None:
        choices += [choice for frame in opened.frames() for choice in candidates(opened, engine=engine, frame=frame)]
        listed = {choice.variant.name for choice in choices}
        for one in opened.manifest.variants:  # it is chosen only by its name
            asked = engine is None or engine_named(engine).format == one.format
            if one.base == INTEGER and one.name not in listed and asked:
                choices += candidates(opened, one.name, engine)
    return tuple(_check(opened, golden, choice) for choice in choices)


def _check(bundle: Bundle, golden: Golden, choice: Choice) -> Check:
    variant, engine = choice.variant, choice.engine
    version = engine.version() or "unknown"
    taps = tuple(tap.name for tap in bundle.manifest.taps)
    if (why := unusable(engine, bundle, variant.name)) is not None:
        return Check(variant.name, engine.name, version, "failed", why)
    try:
        session = open_variant(engine, bundle.manifest, variant, bundle.read(variant.file), default_threads())
        frame = variant.frame
        inputs = golden.pictures if frame is None else (frame_of(picture, frame) for picture in golden.pictures)
        rows = [run(session, one[np.newaxis], bundle.manifest.taps) for one in inputs]
    except EngineError as error:
        return Check(variant.name, engine.name, version, "failed", str(error))
    features = {tap: np.concatenate([row[index] for row in rows]) for index, tap in enumerate(taps)}
    own, keras = golden.features[variant.name], golden.features[KERAS]
    off = [_off(variant, engine.name, tap, features[tap], own[tap], keras[tap]) for tap in taps]
    return Check(
        variant.name,
        engine.name,
        version,
        "off" if any(off) else "ok",
        "; ".join(filter(None, off)),
        difference=max(_difference(features[tap], own[tap]) for tap in taps),
        cosine=min(float(cosines(features[tap], own[tap]).min()) for tap in taps),
        # The Keras features are those of the images, not of frames made from them.
        keras_cosine=None
        if variant.frame is not None
        else min(float(cosines(features[tap], keras[tap]).min()) for tap in taps),
    )


def _off(
    variant: Variant,
    engine: str,
    tap: str,
    features: NDArray[np.float32],
    own: NDArray[np.float32],
    keras: NDArray[np.float32],
) -> str:
    """Return why the features are off, with the figure and the limit, or an empty text."""
    if variant.frame is not None and not (variant.precision in _TOLERANCES and engine == variant.engine):
        # A frame is rounded to whole levels inside the model, and engines round halves differently.
        cosine = float(cosines(features, own).min())
        allowed = _SAME_ENGINE_COSINE
        if engine != variant.engine and variant.precision not in _TOLERANCES:
            allowed = variant.fidelity[tap].minimum_cosine - _OTHER_ENGINE_SLACK
        return "" if cosine >= allowed else f"{tap} has cosine {cosine:.4f} (allowed: {allowed:.4f} or more)"
    if variant.precision in _TOLERANCES:
        largest = float(np.abs(own).max())
        allowed = _TOLERANCES[variant.precision] * (max(1.0, largest) if np.isfinite(largest) else 1.0)
        difference = _difference(features, own)
        return "" if difference <= allowed else f"{tap} differs by {difference:.2g} (allowed: {allowed:.2g})"
    if engine == variant.engine:
        cosine, allowed = float(cosines(features, own).min()), _SAME_ENGINE_COSINE
    else:
        cosine = float(cosines(features, keras).min())
        allowed = variant.fidelity[tap].minimum_cosine - _OTHER_ENGINE_SLACK
    return "" if cosine >= allowed else f"{tap} has cosine {cosine:.4f} (allowed: {allowed:.4f} or more)"


def _difference(features: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    difference = float(np.abs(features.astype(np.float64) - reference.astype(np.float64)).max())
    return difference if np.isfinite(difference) else sys.float_info.max  # JSON has no infinity
