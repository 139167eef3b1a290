"""From a backbone's name to a loaded bundle."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

import edgefeat
from edgefeat import VARIANTS, ArgumentError, Extractor, Manifest, OutputError
from edgefeat._files import check_new_folder, new_folder
from edgefeat._gate import DEFAULT_GATE
from edgefeat._golden import GOLDEN_NAME, KERAS, Golden, write_golden
from edgefeat._manifest import MANIFEST_NAME, SCHEMA, Backbone, File, Variant
from edgefeat_export._card import CARD_NAME, card
from edgefeat_export._check import Measured, measure_variant
from edgefeat_export._photos import SYNTHETIC, check_source
from edgefeat_export._progress import Progress
from edgefeat_export._spec import (
    IMAGENET,
    RANDOM,
    Fit,
    NetworkSpec,
    Normalization,
    Pooling,
    is_model_file,
    weights_file,
)
from edgefeat_export._spec import input_size as parsed_size
from edgefeat_export._steps import ordered
from edgefeat_export._subprocess import run_step
from edgefeat_export._workspace import NETWORK, Workspace

__all__ = ["export"]

_GOLDEN_PICTURES = 8
_GOLDEN_BYTES = 64_000_000  # of features: unpooled ones of an early layer have millions of elements
_TOOLS = (
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
    "pillow",
)


def export(
    backbone: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    alpha: float | None = None,
    input_size: int | str | Sequence[int] | None = None,
    preprocess: str | None = None,
    layers: Sequence[str] = (),
    pooling: Pooling = "avg",
    normalize: Normalization = "l2",
    project: int | None = None,
    whiten: bool = False,
    weights: str | os.PathLike[str] | None = None,
    calibration: str | os.PathLike[str] = SYNTHETIC,
    evaluation: str | os.PathLike[str] | None = None,
    variants: Sequence[str] = VARIANTS,
    fit: Fit = "stretch",
    seed: int = 0,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Extractor:
    """The bundle written to `output`, loaded.

    `backbone` is a name of `keras.applications`, in any spelling of case, `_` and `-`, or the path of a saved Keras
    model. `input_size` (height and width) defaults to the model's own, else 224; `preprocess` to the backbone's own,
    and for a saved model to "raw" (see `preprocessing_named`). `layers` are where it is cut, each a tap (none: the
    last).
    `calibration` is a folder of photos or "synthetic"; fidelity is measured on the photos in `evaluation` (or in one
    sub-folder per label), else on a fifth of the former that is kept apart.
    `output` defaults to `<name>.edgefeat`; it appears whole or not at all. With `tell`, notes for the user go there and
    a progress bar to the terminal.

    Raises ArgumentError for what cannot be, OutputError where `output` exists or cannot be written, ExportError where
    the weights cannot be had or a float variant's features are not Keras's.
    """
    spec = _spec(
        NetworkSpec(
            backbone=os.fspath(backbone),
            alpha=alpha,
            weights=None if weights is None else os.fspath(weights),
            seed=seed,
            size=None if input_size is None else parsed_size(input_size),
            preprocess=preprocess,
            layers=tuple(layers),
            pooling=pooling,
            normalization=normalize,
            project=project,
            whiten=whiten,
            calibration=os.fspath(calibration),
            evaluation=None if evaluation is None else os.fspath(evaluation),
            fit=fit,
        )
    )
    wanted = _checked(variants, VARIANTS, "variant")
    check_source(calibration, "calibration")
    if evaluation is not None:
        check_source(evaluation, "evaluation")
    if output is not None:
        check_new_folder(output, overwrite=overwrite)
    try:
        target = _export(spec, wanted, None if output is None else Path(output), overwrite, tell)
    except OSError as error:
        raise OutputError(f"the export's temporary files: {error} (TMPDIR names another folder for them)") from error
    return edgefeat.load(target)


def _export(
    spec: NetworkSpec, wanted: Sequence[str], output: Path | None, overwrite: bool, tell: Callable[[str], None] | None
) -> Path:
    """The bundle's path, once it is written."""
    steps = ordered(wanted)
    with (
        tempfile.TemporaryDirectory(prefix="edgefeat-") as scratch,
        Progress(len(steps), show=tell is not None) as progress,
    ):
        work = Workspace(Path(scratch))
        work.write_spec(spec)
        measured: dict[str, Measured] = {}
        for step in steps:
            progress.begin(step)
            run_step(work, step)
            if step != NETWORK:
                measured[step] = measure_variant(work, step)
                continue
            if tell is not None:
                for note in work.facts.notes:
                    tell(note)
            if output is None:
                check_new_folder(f"{_name(work)}.edgefeat", overwrite=overwrite)
        kept = {variant: measured[variant] for variant in VARIANTS if variant in wanted}
        target = output or Path(f"{_name(work)}.edgefeat")
        with new_folder(target, overwrite=overwrite) as folder:
            _write(folder, work, kept)
    return target


def _name(work: Workspace) -> str:
    """What the bundle is called: `mobilenet_v2_0.35_224`."""
    spec, form = work.spec, work.facts.picture
    size = f"{form.height}" if form.height == form.width else f"{form.height}x{form.width}"
    alpha = [f"{spec.alpha:g}"] if spec.alpha is not None else []
    return "_".join([work.facts.backbone, *alpha, *spec.layers, size]).replace("/", ".")


def _spec(spec: NetworkSpec) -> NetworkSpec:
    """The spec, if it is possible as far as can be told without Keras."""
    if spec.project is not None and spec.project < 1:
        raise ArgumentError(f"projection to {spec.project} dimensions (allowed: 1 or more)")
    if spec.whiten and spec.project is None:
        raise ArgumentError("whitening needs a projection: give --project as well")
    if not 0 <= spec.seed < 2**32:
        raise ArgumentError(f"seed {spec.seed} (allowed: 0 to {2**32 - 1})")
    if spec.weights is not None and is_model_file(spec.backbone):
        raise ArgumentError(f"model {spec.backbone} has the weights it was saved with: leave --weights out")
    if spec.weights not in (None, IMAGENET, RANDOM):
        weights_file(spec.weights)
    _checked([spec.pooling], get_args(Pooling), "pooling")
    _checked([spec.normalization], get_args(Normalization), "normalization")
    _checked([spec.fit], get_args(Fit), "fit")
    return spec


def _checked(values: Sequence[str], allowed: Sequence[str], what: str) -> list[str]:
    for value in values:
        if value not in allowed:
            raise ArgumentError(f"{what} {value!r} is unknown (allowed: {', '.join(allowed)})")
    if not values:
        raise ArgumentError(f"no {what} was asked for (allowed: {', '.join(allowed)})")
    return list(values)


def _write(
    folder: Path,
    work: Workspace,
    measured: dict[str, Measured],
) -> None:
    """Fills `folder` with the bundle's files."""
    variants = []
    for variant, result in measured.items():
        path = work.model(variant)
        variants.append(_variant(variant, _put(folder, path.name, path.read_bytes()), result))
    golden = _put(folder, GOLDEN_NAME, write_golden(_golden(work, measured)))
    manifest = _manifest(work, tuple(variants), golden)
    manifest = replace(manifest, card=_put(folder, CARD_NAME, card(manifest).encode()))
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())


def _put(folder: Path, name: str, data: bytes) -> File:
    (folder / name).write_bytes(data)
    return File(name, len(data), hashlib.sha256(data).hexdigest())


def _variant(name: str, file: File, result: Measured) -> Variant:
    form, _, precision = name.partition("-")
    return Variant(
        name=name,
        format=form,  # type: ignore[arg-type]  # a name of VARIANTS is made of the two literals
        precision=precision,  # type: ignore[arg-type]
        file=file,
        engine=result.engine.name,
        engine_version=result.engine.version() or "unknown",
        fidelity=result.fidelity,
        correction=(),
        float_operations=(),
    )


def _golden(work: Workspace, measured: dict[str, Measured]) -> Golden:
    features = {KERAS: work.reference(), **{name: result.features for name, result in measured.items()}}
    size = sum(rows[0].nbytes for by_tap in features.values() for rows in by_tap.values())
    count = max(1, min(_GOLDEN_PICTURES, len(work.checking), _GOLDEN_BYTES // size))
    return Golden(
        np.ascontiguousarray(work.checking[:count]),
        {origin: {tap: rows[:count] for tap, rows in by_tap.items()} for origin, by_tap in features.items()},
    )


def _manifest(
    work: Workspace,
    variants: tuple[Variant, ...],
    golden: File,
) -> Manifest:
    """The manifest, with the golden file's record in the card's place until there is a card."""
    spec, facts = work.spec, work.facts
    return Manifest(
        schema=SCHEMA,
        name=_name(work),
        edgefeat=edgefeat.__version__,
        tools={tool: importlib.metadata.version(tool) for tool in _TOOLS},
        backbone=Backbone(
            name=facts.backbone,
            options={} if spec.alpha is None else {"alpha": f"{spec.alpha:g}"},
            weights=spec.weights_origin,
            weights_sha256=facts.weights_sha256,
            preprocessing=facts.preprocessing,
        ),
        picture=facts.picture,
        taps=facts.taps,
        calibration=facts.calibration,
        gate=DEFAULT_GATE,
        variants=variants,
        refusals=(),
        golden=golden,
        card=golden,
    )
