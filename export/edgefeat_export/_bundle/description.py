"""The texts in a variant's TFLite metadata."""

from __future__ import annotations

import edgefeat
from edgefeat._bundle.manifest import Tap
from edgefeat_export._bundle.tflite_metadata import About, Output
from edgefeat_export._bundle.writing import bundle_name
from edgefeat_export._workspace import BuiltNetwork

__all__ = ["about"]


def about(network: BuiltNetwork, variant: str) -> About:
    """Return the metadata of `variant`."""
    spec, facts = network.spec, network.facts
    options = "" if spec.alpha is None else f", alpha {spec.alpha:g}"
    return About(
        name=bundle_name(network),
        description=f"Image features of {facts.backbone}{options}, weights {spec.weights_origin}; variant {variant}. "
        "Preprocessing, pooling, projection and norm are inside the model.",
        version=f"weights {facts.weights_sha256[:12]}",
        author=f"edgefeat {edgefeat.__version__}",
        license=f"That of the weights ({spec.weights_origin}), which edgefeat does not know.",
        height=facts.picture.height,
        width=facts.picture.width,
        outputs=tuple(Output(tap.name, _words(tap)) for tap in facts.taps),
    )


def _words(tap: Tap) -> str:
    projection = f", PCA to {tap.projection.dimensions}" if tap.projection is not None else ""
    shape = " x ".join(map(str, tap.shape))
    head = f"pooling {tap.pooling}{projection}, norm {tap.normalization}"
    return f"Feature of layer {tap.layer}: {head}; {shape} float32."
