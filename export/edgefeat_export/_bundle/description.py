"""The texts in a variant's TFLite metadata."""

from __future__ import annotations

from typing import Literal

import edgefeat
from edgefeat._bundle.manifest import Integers, Tap
from edgefeat._images.form import PictureForm
from edgefeat_export._bundle.frames import frame_words
from edgefeat_export._bundle.tflite_metadata import About, Output
from edgefeat_export._workspace import BuiltNetwork, bundle_name

__all__ = ["about"]


def about(network: BuiltNetwork, variant: str, integers: Integers | None = None) -> About:
    """Return the metadata of `variant`, which may have a camera's frame as its input, or `integers` alone."""
    spec, facts = network.spec, network.facts
    frame = next((one for one in spec.frames if one.name == variant.partition("@")[2]), None)
    width, height = (facts.picture.width, facts.picture.height) if frame is None else (frame.width, frame.height)
    color_space: Literal["rgb", "gray"] | None = "rgb"
    if frame is not None and frame.format != "rgb":
        color_space = "gray" if frame.format == "gray" else None
    options = "" if spec.alpha is None else f", alpha {spec.alpha:g}"
    return About(
        name=bundle_name(network),
        description=f"Image features of {facts.backbone}{options}, weights {spec.weights_origin}; variant {variant}. "
        f"Preprocessing, pooling, projection{' and norm' if integers is None else ''} are inside the model.",
        version=f"weights {facts.weights_sha256[:12]}",
        author=f"edgefeat {edgefeat.__version__}",
        license=f"That of the weights ({spec.weights_origin}), which edgefeat does not know.",
        height=height,
        width=width,
        outputs=tuple(Output(tap.name, _words(tap, integers)) for tap in facts.taps),
        input=_picture_words(facts.picture, integers)
        if frame is None
        else frame_words(frame, facts.picture) + _less(integers),
        color_space=color_space,
    )


def _picture_words(picture: PictureForm, integers: Integers | None) -> str:
    return (
        f"A photo, upright, resized to {picture.height} x {picture.width}: RGB, 0 to 255. "
        f"Preprocessing is inside the model.{_less(integers)}"
    )


def _less(integers: Integers | None) -> str:
    return " Each byte less 128, as int8." if integers is not None and integers.input == "int8" else ""


def _words(tap: Tap, integers: Integers | None) -> str:
    projection = f", PCA to {tap.projection.dimensions}" if tap.projection is not None else ""
    shape = " x ".join(map(str, tap.shape))
    head = f"pooling {tap.pooling}{projection}, norm {tap.normalization}"
    if integers is not None:
        one = integers.outputs[tap.name]
        norm = "" if tap.normalization == "none" else " before the norm, which is yours to take"
        return (
            f"Feature of layer {tap.layer}: {head}; {shape} int8, the value{norm} is (integer - {one.zero_point}) * "
            f"{one.scale:.9g}."
        )
    return f"Feature of layer {tap.layer}: {head}; {shape} float32."
