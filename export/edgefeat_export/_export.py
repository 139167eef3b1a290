"""From a backbone's name to a loaded bundle."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

import edgefeat
from edgefeat import VARIANTS, ArgumentError, Extractor, Manifest
from edgefeat._files import check_new_folder, new_folder
from edgefeat._golden import GOLDEN_NAME, KERAS, Golden, write_golden
from edgefeat._manifest import MANIFEST_NAME, SCHEMA, Backbone, Calibration, File, PictureForm, Variant
from edgefeat_export._card import CARD_NAME, card
from edgefeat_export._check import Measured, measure_variant
from edgefeat_export._photos import SYNTHETIC, gather
from edgefeat_export._progress import Progress
from edgefeat_export._spec import NetworkSpec, input_size
from edgefeat_export._steps import ordered
from edgefeat_export._subprocess import run_step
from edgefeat_export._workspace import NETWORK, Workspace

__all__ = ["export"]

_GOLDEN_PICTURES = 8
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
    backbone: str,
    output: str | os.PathLike[str] | None = None,
    *,
    alpha: float | None = None,
    input_size: int | str | Sequence[int] = 224,
    layers: Sequence[str] = (),
    pooling: Literal["avg", "max", "gem", "flatten", "none"] = "avg",
    normalize: Literal["l2", "none"] = "l2",
    project: int | None = None,
    whiten: bool = False,
    weights: str = "imagenet",
    calibration: str | os.PathLike[str] = SYNTHETIC,
    variants: Sequence[str] = VARIANTS,
    fit: Literal["stretch", "crop", "pad"] = "stretch",
    seed: int = 0,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Extractor:
    """The bundle written to `output`, loaded.

    `backbone` is a name of `keras.applications`, in any spelling of case, `_` and `-`. `layers` are where it is cut
    (none: its last), each a tap. `calibration` is a folder of photos or "synthetic"; a fifth of them is kept
    apart to measure fidelity. `output` defaults to `<name>.edgefeat`; it appears whole or not at all. With `tell`, notes
    for the user go there and a progress bar to the terminal.

    Raises ArgumentError for what cannot be, OutputError where `output` exists or cannot be written, ExportError where
    the weights cannot be had or a float variant's features are not Keras's.
    """
    notify = tell or _ignore
    spec = _spec(backbone, alpha, weights, seed, input_size, layers, pooling, normalize, project, whiten)
    wanted = _checked(variants, VARIANTS)
    if output is not None:
        check_new_folder(output, overwrite=overwrite)
    form = PictureForm(height=spec.height, width=spec.width, fit=fit)
    steps = ordered(wanted)
    with (
        tempfile.TemporaryDirectory(prefix="edgefeat-") as scratch,
        Progress(len(steps) + 1, show=tell is not None) as progress,
    ):
        progress.begin("pictures")
        pictures = gather(calibration, form, seed=seed, tell=notify)
        work = Workspace(Path(scratch))
        work.write_task(spec, pictures.calibrating, pictures.checking)
        measured: dict[str, Measured] = {}
        for step in steps:
            progress.begin(step)
            run_step(work, step)
            if step != NETWORK:
                measured[step] = measure_variant(work, step)
            elif output is None:
                check_new_folder(f"{_name(work)}.edgefeat", overwrite=overwrite)
        kept = {variant: measured[variant] for variant in VARIANTS if variant in wanted}
        target = Path(output) if output is not None else Path(f"{_name(work)}.edgefeat")
        with new_folder(target, overwrite=overwrite) as folder:
            _write(folder, work, form, pictures.about, kept)
    return edgefeat.load(target)


def _name(work: Workspace) -> str:
    """What the bundle is called: `mobilenet_v2_0.35_224`."""
    spec = work.spec
    size = f"{spec.height}" if spec.height == spec.width else f"{spec.height}x{spec.width}"
    alpha = [f"{spec.alpha:g}"] if spec.alpha is not None else []
    return "_".join([work.facts.backbone, *alpha, *spec.layers, size]).replace("/", ".")


def _ignore(_: str) -> None:
    """Nobody asked to be told."""


def _spec(
    backbone: str,
    alpha: float | None,
    weights: str,
    seed: int,
    size: int | str | Sequence[int],
    layers: Sequence[str],
    pooling: Literal["avg", "max", "gem", "flatten", "none"],
    normalize: Literal["l2", "none"],
    project: int | None,
    whiten: bool,
) -> NetworkSpec:
    if project is not None and project < 1:
        raise ArgumentError(f"projection to {project} dimensions (allowed: 1 or more)")
    if whiten and project is None:
        raise ArgumentError("whitening needs a projection: give --project as well")
    height, width = input_size(size)
    for value, allowed, what in (
        (pooling, ("avg", "max", "gem", "flatten", "none"), "pooling"),
        (normalize, ("l2", "none"), "normalize"),
    ):
        _checked([value], allowed, what)
    return NetworkSpec(
        backbone, alpha, weights, seed, height, width, tuple(layers), pooling, normalize, project, whiten
    )


def _checked(values: Sequence[str], allowed: Sequence[str], what: str = "variant") -> list[str]:
    for value in values:
        if value not in allowed:
            raise ArgumentError(f"{what} {value!r} is unknown (allowed: {', '.join(allowed)})")
    if not values:
        raise ArgumentError(f"no {what} was asked for (allowed: {', '.join(allowed)})")
    return list(values)


def _write(
    folder: Path,
    work: Workspace,
    form: PictureForm,
    about: Calibration,
    measured: dict[str, Measured],
) -> None:
    """Fills `folder` with the bundle's files."""
    variants = []
    for variant, result in measured.items():
        path = work.model(variant)
        variants.append(_variant(variant, _put(folder, path.name, path.read_bytes()), result))
    golden = _put(folder, GOLDEN_NAME, write_golden(_golden(work, measured)))
    manifest = _manifest(work, form, about, tuple(variants), golden)
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
    )


def _golden(work: Workspace, measured: dict[str, Measured]) -> Golden:
    count = min(_GOLDEN_PICTURES, len(work.checking))
    features = {KERAS: work.reference(), **{name: result.features for name, result in measured.items()}}
    return Golden(
        np.ascontiguousarray(work.checking[:count]),
        {origin: {tap: rows[:count] for tap, rows in by_tap.items()} for origin, by_tap in features.items()},
    )


def _manifest(
    work: Workspace,
    form: PictureForm,
    about: Calibration,
    variants: tuple[Variant, ...],
    golden: File,
) -> Manifest:
    """The manifest, with the golden file's record in the card's place until there is a card."""
    spec, facts = work.spec, work.facts
    weights = f"random, seed {spec.seed}" if spec.weights == "random" else spec.weights
    return Manifest(
        schema=SCHEMA,
        name=_name(work),
        edgefeat=edgefeat.__version__,
        tools={tool: importlib.metadata.version(tool) for tool in _TOOLS},
        backbone=Backbone(
            name=facts.backbone,
            options={} if spec.alpha is None else {"alpha": f"{spec.alpha:g}"},
            weights=weights,
            weights_sha256=facts.weights_sha256,
            preprocessing=facts.preprocessing,
        ),
        picture=form,
        taps=facts.taps,
        calibration=about,
        variants=variants,
        refusals=(),
        golden=golden,
        card=golden,
    )
