"""`export`: convert a backbone into a bundle."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import edgefeat
from edgefeat import VARIANTS, ArgumentError, Extractor, OutputError
from edgefeat._bundle.atomic_files import check_new_folder, new_folder
from edgefeat._bundle.gate import DEFAULT_GATE, parse_gate
from edgefeat._bundle.manifest import ALL_VARIANTS, INTEGER, is_colour
from edgefeat._images.frames.form import parse_frame
from edgefeat_export._bundle.writing import write_bundle
from edgefeat_export._images.calibration import SYNTHETIC, check_source
from edgefeat_export._models.saved.recognition import saved_model
from edgefeat_export._pipeline.progress import Progress
from edgefeat_export._pipeline.variants import build_network, make_variants
from edgefeat_export._pipeline.worker_pool import StepCost, Workers
from edgefeat_export._quantize.correction.pieces import ALL_PIECES
from edgefeat_export._spec import (
    IMAGENET,
    LAYERS_SUFFIX,
    RANDOM,
    Effort,
    Fit,
    IntegerInput,
    NetworkSpec,
    Normalization,
    Pooling,
    VariantSpec,
    is_hub,
    is_model_file,
    parse_float_layers,
    weights_file,
)
from edgefeat_export._spec import input_size as parsed_size
from edgefeat_export._workspace import Workspace, bundle_name

__all__ = ["export"]

# Poolings of tokens, which no backbone that is known by name has.
_OF_TOKENS = ("cls", "mean-patches")


def export(
    backbone: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    alpha: float | None = None,
    input_size: int | str | Sequence[int] | None = None,
    preprocess: str | None = None,
    inputs: Mapping[str, float | Sequence[float]] | None = None,
    skip_layers: Sequence[str] = (),
    config: Mapping[str, object] | None = None,
    layers: Sequence[str] = (),
    pooling: Pooling | None = None,
    normalize: Normalization = "l2",
    project: int | None = None,
    whiten: bool = False,
    weights: str | os.PathLike[str] | None = None,
    calibration: str | os.PathLike[str] = SYNTHETIC,
    evaluation: str | os.PathLike[str] | None = None,
    variants: Sequence[str] | None = None,
    min_fidelity: float | str = DEFAULT_GATE.mean_cosine,
    correction: Sequence[str] | None = None,
    effort: Effort = "normal",
    float_layers: str = "auto",
    integer_input: IntegerInput = "uint8",
    fit: Fit | None = None,
    background: str = "white",
    frames: Sequence[str] = (),
    seed: int = 0,
    jobs: int = 1,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
    on_step: Callable[[StepCost], None] | None = None,
) -> Extractor:
    """Export a backbone or saved model to a bundle at `output` and return the bundle, loaded.

    `backbone` is a name of `keras.applications` or of edgefeat's own networks (case, `_` and `-` are ignored); "hub:"
    and a preset, the folder of one, or a class of KerasHub; or the path of a saved model with its weights: a file saved
    by Keras 2 or 3, a SavedModel folder, the `model.json` of TensorFlow.js, or the `.json` of `model.to_json()` with
    `weights`. For a name, `weights` is "imagenet" (the default), "random", or a file: `.h5`, `.weights.h5`, `.keras`, a
    checkpoint of Keras 2, or torchvision's as `.safetensors` for AlexNet and GoogLeNet. For KerasHub it is the preset's
    own (the default) or "random"; `config` are arguments of a KerasHub class, by name.

    `input_size` (height and width) defaults to the model's own, else 224; `preprocess` to the backbone's own. For a
    saved model `preprocess` is required unless the model scales its own pixels (see `preprocessing_named`). `inputs`
    fixes inputs of a saved model that are not images, by name. `skip_layers` are layers of it whose code is not run
    (`Lambda`, custom classes) that pass their input on instead: leave out only what `preprocess` does. `layers` are the
    layers to cut at, one tap each (default: the last). `pooling` makes a vector of a feature map (default: "avg") or of
    tokens (default: what the backbone's authors use, else "mean"). Transparent images get the `background`: "white",
    "black" or "#rrggbb".

    `calibration` is a folder of photos or "synthetic". Fidelity is measured on the photos in `evaluation` (optionally
    one sub-folder per label), by default on a fifth of the calibration photos, which then do not calibrate. An int8
    variant must reach `min_fidelity`, a mean cosine (or "overlap=0.9"), with the `correction` pieces allowed (default:
    all; empty: the stock tools' own rounding) and with as few layers in float as possible. `effort` limits the search:
    "quick" corrects once, "normal" also keeps sensitive layers in float, "thorough" tries more and more layers in
    float. `float_layers` is the number of first layers to keep in float: "auto" for as many as cost no time by the cost
    table, a number, or one for each format, "tflite=4,onnx=0". A variant that cannot be made or misses its gate is left
    out; the manifest's `refusals` give the reason. `variants` default to all, without an int8 file that is slower than
    float by the cost table, or of a network with swish and with a mean cosine below 0.998 or a minimum below 0.99.

    "tflite-integer", made only if it is among `variants`, has no float operation at all, for NPUs and microcontrollers;
    its pixels are of type `integer_input`, "uint8" or "int8" (the pixel minus 128).

    For each of `frames`, names such as "nv21-640x480", "rgba-1280x720-90" or "nv12-640x480-bt601-full", every variant
    is also written with that camera frame as its input: colours, rotation, `fit` and resize are then in the file, too.

    `jobs` conversions run at once, each in its own process, which takes 1 to 3 GB. `output` defaults to
    `<name>.edgefeat` and is written completely or not at all. With `tell`, notes for the user are passed to it and a
    progress bar is shown on the terminal; `on_step` is called with the seconds and the memory of each step.

    Raises ArgumentError for invalid arguments, OutputError if `output` exists or cannot be written, ExportError if the
    weights are not available, the features of the float32 TFLite file differ from Keras's, or none of `variants` can be
    written.
    """
    spec = _spec(
        NetworkSpec(
            backbone=os.fspath(backbone),
            alpha=alpha,
            weights=None if weights is None else os.fspath(weights),
            seed=seed,
            size=None if input_size is None else parsed_size(input_size),
            preprocess=preprocess,
            inputs={name: _numbers(name, values) for name, values in (inputs or {}).items()},
            skipped=tuple(skip_layers),
            config={name: json.dumps(value) for name, value in (config or {}).items()},
            layers=tuple(layers),
            pooling=pooling,
            normalization=normalize,
            project=project,
            whiten=whiten,
            calibration=os.fspath(calibration),
            evaluation=None if evaluation is None else os.fspath(evaluation),
            fit=fit,
            background=background.lower(),
            frames=tuple(dict.fromkeys(map(parse_frame, frames))),
        )
    )
    _checked([effort], get_args(Effort), "effort")
    _checked([integer_input], get_args(IntegerInput), "integer input")
    if integer_input != "uint8" and INTEGER not in (variants or ()):
        raise ArgumentError(f"integer input {integer_input!r} requires variant {INTEGER}: name it with --variants")
    if jobs < 1:
        raise ArgumentError(f"jobs is {jobs} (allowed: 1 or more)")
    wanted = VariantSpec(
        variants=VARIANTS if variants is None else tuple(_checked(variants, ALL_VARIANTS, "variant")),
        gate=parse_gate(str(min_fidelity)),
        pieces=ALL_PIECES if correction is None else tuple(_checked(correction, ALL_PIECES, "correction", some=False)),
        effort=effort,
        jobs=jobs,
        named=variants is not None,
        float_layers=parse_float_layers(float_layers),
        integer_input=integer_input,
    )
    check_source(calibration, "calibration")
    if evaluation is not None:
        check_source(evaluation, "evaluation")
    if output is not None:
        check_new_folder(output, overwrite=overwrite)
    target = None if output is None else Path(output)
    try:
        target = _export(spec, wanted, target, overwrite, tell, on_step)
    except OSError as error:
        raise OutputError(
            f"the export cannot write its temporary files: {error} (set TMPDIR to use another folder)"
        ) from error
    return edgefeat.load(target)


def _export(
    spec: NetworkSpec,
    wanted: VariantSpec,
    output: Path | None,
    overwrite: bool,
    tell: Callable[[str], None] | None,
    on_step: Callable[[StepCost], None] | None,
) -> Path:
    """Write the bundle and return its path."""

    def ended(cost: StepCost) -> None:
        progress.end(cost.step)
        if on_step is not None:
            on_step(cost)

    with (
        tempfile.TemporaryDirectory(prefix="edgefeat-") as scratch,
        Progress(wanted, show=tell is not None) as progress,
        Workers(Path(scratch), began=progress.begin, ended=ended, jobs=wanted.jobs) as workers,
    ):
        network = build_network(spec, wanted, Workspace(Path(scratch)), workers)
        for note in network.facts.notes:
            (tell or _ignore)(note)
        target = output or Path(f"{bundle_name(network)}.edgefeat")
        check_new_folder(target, overwrite=overwrite)
        made, refusals = make_variants(network, wanted, workers, tell or _ignore)
        with new_folder(target, overwrite=overwrite) as folder:
            write_bundle(folder, network, wanted.gate, made, refusals)
        return target


def _ignore(_: str) -> None:
    """Discard a note."""


def _spec(spec: NetworkSpec) -> NetworkSpec:
    """Return the spec, or raise ArgumentError for values that are invalid without loading Keras."""
    if spec.alpha is not None and not 0 < spec.alpha < 100:
        raise ArgumentError(f"alpha is {spec.alpha} (allowed: above 0, such as 0.35 or 1.0)")
    if spec.project is not None and spec.pooling == "none":
        raise ArgumentError("a projection requires features that are vectors: use another --pooling than none")
    if spec.project is not None and spec.project < 1:
        raise ArgumentError(f"projection to {spec.project} dimensions (allowed: 1 or more)")
    if spec.whiten and spec.project is None:
        raise ArgumentError("whitening requires a projection: add --project")
    if not 0 <= spec.seed < 2**32:
        raise ArgumentError(f"seed {spec.seed} (allowed: 0 to {2**32 - 1})")
    _check_source(spec)
    if spec.weights not in (None, IMAGENET, RANDOM):
        weights_file(spec.weights)
    if spec.pooling is not None:
        _checked([spec.pooling], get_args(Pooling), "pooling")
    _checked([spec.normalization], get_args(Normalization), "normalization")
    if spec.fit is not None:
        _checked([spec.fit], get_args(Fit), "fit")
    if not is_colour(spec.background):
        raise ArgumentError(f"background {spec.background!r} (allowed: white, black or a colour as #rrggbb)")
    return spec


def _check_source(spec: NetworkSpec) -> None:
    """Raise ArgumentError for a saved model that does not exist, and for options of the other kind of backbone."""
    if not is_model_file(spec.backbone):
        if spec.skipped:
            raise ArgumentError(f"layers are skipped only in saved models: leave --skip-layer out for {spec.backbone}")
        if spec.pooling in _OF_TOKENS and not is_hub(spec.backbone):
            raise ArgumentError(
                f"pooling {spec.pooling} is for the tokens of hub: backbones and saved models, not for "
                f"{spec.backbone} (allowed: avg, max, gem, flatten, none)"
            )
        return
    if not os.path.exists(spec.backbone):
        saved_model(Path(spec.backbone))  # raises the error that names what is allowed
    if spec.weights is not None and not spec.backbone.lower().endswith(LAYERS_SUFFIX):
        raise ArgumentError(f"model {spec.backbone} is used with its saved weights: leave --weights out")


def _numbers(name: str, values: float | Sequence[float]) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in (values if isinstance(values, Sequence) else [values]))
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"input {name} is {values!r} (allowed: a number, or one for each element)")
    return numbers


def _checked(values: Sequence[str], allowed: Sequence[str], what: str, *, some: bool = True) -> list[str]:
    for value in values:
        if value not in allowed:
            raise ArgumentError(f"{what} {value!r} is unknown (allowed: {', '.join(allowed)})")
    if some and not values:
        raise ArgumentError(f"no {what} was requested (allowed: {', '.join(allowed)})")
    return list(values)
