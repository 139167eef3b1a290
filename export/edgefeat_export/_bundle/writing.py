"""Write the files of a bundle: models, golden vectors, card, manifest."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import edgefeat
from edgefeat import Manifest
from edgefeat._bundle.golden import GOLDEN_NAME, GOLDEN_PICTURES, KERAS, Golden, write_golden
from edgefeat._bundle.manifest import MANIFEST_NAME, SCHEMA, Backbone, File, Gate, Refusal, Variant
from edgefeat_export._bundle.card import CARD_NAME, card
from edgefeat_export._bundle.figures import interval_sentence
from edgefeat_export._measure.variants import Made
from edgefeat_export._spec import NetworkSpec
from edgefeat_export._workspace import BuiltNetwork, bundle_name

__all__ = ["write_bundle"]

_GOLDEN_BYTES = 64_000_000  # of features: unpooled features of an early layer have millions of elements
_TOOLS = (
    "tensorflow",
    "keras",
    "tf-keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
    "pillow",
)


def write_bundle(
    folder: Path, network: BuiltNetwork, gate: Gate, made: Sequence[Made], refusals: Sequence[Refusal]
) -> None:
    """Write the bundle's files to `folder`."""
    variants = []
    for one in made:
        path = network.work.model(one.variant)
        variants.append(_variant(_put(folder, path.name, path.read_bytes()), one))
    golden = _put(folder, GOLDEN_NAME, write_golden(_golden(network, made)))
    manifest = _manifest(network, gate, variants, refusals, golden)
    manifest = replace(manifest, card=_put(folder, CARD_NAME, card(manifest, _intervals(made)).encode()))
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())


def _intervals(made: Sequence[Made]) -> list[str]:
    """Return the sentences on the intervals of the int8 variants' figures."""
    sentences = [
        interval_sentence(one.variant, tap, found)
        for one in made
        if one.variant.endswith("-int8")
        for tap, found in one.measured.intervals.items()
    ]
    return [sentence for sentence in sentences if sentence is not None]


def _put(folder: Path, name: str, data: bytes) -> File:
    (folder / name).write_bytes(data)
    return File(name, len(data), hashlib.sha256(data).hexdigest())


def _variant(file: File, made: Made) -> Variant:
    form, _, precision = made.variant.partition("@")[0].partition("-")
    return Variant(
        name=made.variant,
        format=form,  # type: ignore[arg-type]  # names in VARIANTS consist of these literals
        precision=precision,  # type: ignore[arg-type]
        file=file,
        engine=made.measured.engine.name,
        engine_version=made.measured.engine.version() or "unknown",
        fidelity=made.measured.fidelity,
        correction=made.correction,
        float_operations=made.float_operations,
        frame=made.frame,
        integers=made.integers,
    )


def _golden(network: BuiltNetwork, made: Sequence[Made]) -> Golden:
    features = {KERAS: network.reference(), **{one.variant: one.measured.features for one in made}}
    size = sum(rows[0].nbytes for by_tap in features.values() for rows in by_tap.values())
    count = max(1, min(GOLDEN_PICTURES, len(network.work.checking), _GOLDEN_BYTES // size))
    return Golden(
        np.ascontiguousarray(network.work.checking[:count]),
        {origin: {tap: rows[:count] for tap, rows in by_tap.items()} for origin, by_tap in features.items()},
    )


def _options(spec: NetworkSpec) -> dict[str, str]:
    """Return the options the backbone was built with, its fixed inputs and its skipped layers, by name."""
    alpha = {} if spec.alpha is None else {"alpha": f"{spec.alpha:g}"}
    fixed = {f"input {name}": ",".join(f"{value:g}" for value in values) for name, values in spec.inputs.items()}
    arguments = {f"config {name}": value for name, value in spec.config.items()}
    skipped = {f"layer {name}": "skipped" for name in spec.skipped}
    return alpha | fixed | skipped | arguments


def _manifest(
    network: BuiltNetwork, gate: Gate, variants: Sequence[Variant], refusals: Sequence[Refusal], golden: File
) -> Manifest:
    """Return the manifest; until the card exists, the record of the golden file stands in for the card's."""
    spec, facts = network.spec, network.facts
    return Manifest(
        schema=SCHEMA,
        name=bundle_name(network),
        edgefeat=edgefeat.__version__,
        tools={tool: importlib.metadata.version(tool) for tool in _TOOLS},
        backbone=Backbone(
            name=facts.backbone,
            options=_options(spec),
            weights=spec.weights_origin,
            weights_sha256=facts.weights_sha256,
            preprocessing=facts.preprocessing,
        ),
        picture=facts.picture,
        taps=facts.taps,
        calibration=facts.calibration,
        gate=gate,
        variants=tuple(variants),
        refusals=tuple(refusals),
        golden=golden,
        card=golden,
    )
