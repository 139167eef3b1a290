"""`edgefeat export`: convert a backbone or a saved model into a bundle."""

from __future__ import annotations

import json
import signal
from typing import get_args

import click

from edgefeat import VARIANTS, Extractor
from edgefeat._bundle.gate import DEFAULT_GATE
from edgefeat._bundle.json_records import to_json
from edgefeat._bundle.manifest import INTEGER
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented, printable
from edgefeat_export._bundle.figures import FIDELITY_HEADER, accuracies, accuracy_sentence, fidelities, fidelity_row
from edgefeat_export._commands.frame_options import frame_names, frame_options
from edgefeat_export._images.calibration import SYNTHETIC
from edgefeat_export._quantize.correction.pieces import ALL_PIECES
from edgefeat_export._spec import Effort, Fit, IntegerInput, Normalization, Pooling, parse_config, parse_input

__all__ = ["command"]


@click.command("export", epilog=documented("your-model"))
@click.argument("backbone")
@click.option("-o", "--output", type=click.Path(), help="Bundle to write.  [default: <name>.edgefeat]")
@click.option("--alpha", type=float, help="Width multiplier of a MobileNet.")
@click.option("--input-size", metavar="N|HEIGHTxWIDTH", help="Input size in pixels.  [default: its own, else 224]")
@click.option(
    "--preprocess",
    metavar="MODE",
    help="How pixels are scaled: tf (-1 to 1), unit (0 to 1), torch, caffe, raw (0 to 255), or MEAN/DEVIATION, each "
    "one number or R,G,B.  [default: the backbone's own; required if a saved model does not scale its own pixels]",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUES",
    help="Fix an input of a saved model that is not an image, such as speed=0 or pose=0,0,1.",
)
@click.option(
    "--skip-layer",
    "skip_layers",
    multiple=True,
    metavar="NAME",
    help="Leave out this layer of a saved model, a Lambda or custom layer whose code is not run: its input passes "
    "unchanged. Say with --preprocess what it did.",
)
@click.option(
    "--config",
    multiple=True,
    metavar="NAME=VALUE|FILE",
    help="Argument of a KerasHub class, such as patch_size=16, or a JSON file with all of them.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME",
    help="Cut at this layer; repeat for several taps.  [default: the last]",
)
@click.option(
    "--pooling",
    type=click.Choice(get_args(Pooling)),
    help="How a feature map or a transformer's tokens become a vector; cls and mean-patches are for tokens.  "
    "[default: avg; for tokens what the backbone's authors use]",
)
@click.option(
    "--normalize",
    default="l2",
    show_default=True,
    type=click.Choice(get_args(Normalization)),
    help="How features are normalized.",
)
@click.option("--project", type=int, metavar="N", help="Reduce features to N dimensions by PCA.")
@click.option("--whiten", is_flag=True, help="Scale the projected dimensions to equal variance.")
@click.option(
    "--weights",
    metavar="imagenet|random|FILE",
    help="FILE: .h5, .weights.h5, .keras, a checkpoint of Keras 2 (cp.ckpt); for alexnet and googlenet torchvision's "
    ".safetensors. Required for a .json of layers.  "
    "[default: imagenet; for a saved model or a KerasHub preset, its own]",
)
@click.option(
    "--calibration",
    default=SYNTHETIC,
    show_default=True,
    type=click.Path(),
    help="Folder of photos like those you will extract from.",
)
@click.option(
    "--evaluation",
    type=click.Path(),
    metavar="FOLDER",
    help="Folder of photos to measure fidelity on; with one sub-folder per label, accuracy too.  [default: a fifth of "
    "the calibration photos]",
)
@click.option(
    "--variants",
    metavar="A,B",
    help=f"Model files to write; exit status 1 if one cannot be written.  [default: all of {', '.join(VARIANTS)} that "
    "can be written, without an int8 file that is slower than float, or that is not near though it is little faster; "
    f"{INTEGER}, for NPUs and microcontrollers, only if named]",
)
@click.option(
    "--integer-input",
    default="uint8",
    show_default=True,
    type=click.Choice(get_args(IntegerInput)),
    help=f"Pixels of {INTEGER}: uint8 as they are, or int8, the pixel minus 128.",
)
@click.option(
    "--fit",
    type=click.Choice(get_args(Fit)),
    help="How to fit photos with another aspect ratio.  [default: stretch; for a KerasHub preset, its own]",
)
@frame_options
@click.option(
    "--background",
    default="white",
    show_default=True,
    metavar="COLOUR",
    help="Background colour for transparent images: white, black or #rrggbb.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Seed of random weights, of generated images and of which photos measure fidelity.",
)
@click.option(
    "--min-fidelity",
    default=f"{DEFAULT_GATE.mean_cosine:g}",
    show_default=True,
    metavar="FIGURE",
    help="Lowest mean cosine allowed for an int8 file, or overlap=0.9 for the lowest neighbour overlap@10. Layers stay "
    "in float to reach it.",
)
@click.option("--strict", is_flag=True, help="Exit with status 1 if any model file is left out.")
@click.option(
    "--correction",
    default="all",
    show_default=True,
    metavar="A,B|all|none",
    help=f"Int8 corrections allowed: {', '.join(ALL_PIECES)}. none: the stock tools' own rounding.",
)
@click.option(
    "--effort",
    default="normal",
    show_default=True,
    type=click.Choice(get_args(Effort)),
    help="How long to search for a faithful int8 file: quick corrects once; normal also tries sensitive layers in "
    "float; thorough tries more and more of them, for minutes.",
)
@click.option(
    "--float-layers",
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Number of first layers that stay in float in int8 files, or for each format: tflite=4,onnx=0. auto: as many "
    "as cost no time by the cost table, the same in both.",
)
@click.option(
    "--jobs", default=1, show_default=True, help="Conversions to run at once; each takes 1 to 3 GB of memory."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@json_option
def command(
    backbone: str,
    output: str | None,
    alpha: float | None,
    input_size: str | None,
    preprocess: str | None,
    inputs: tuple[str, ...],
    skip_layers: tuple[str, ...],
    config: tuple[str, ...],
    layers: tuple[str, ...],
    pooling: Pooling | None,
    normalize: Normalization,
    project: int | None,
    whiten: bool,
    weights: str | None,
    calibration: str,
    evaluation: str | None,
    variants: str | None,
    integer_input: IntegerInput,
    fit: Fit | None,
    frames: tuple[str, ...],
    frame_format: str,
    frame_rotation: str,
    frame_color: str,
    background: str,
    seed: int,
    min_fidelity: str,
    strict: bool,
    correction: str,
    effort: Effort,
    float_layers: str,
    jobs: int,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Convert BACKBONE into a bundle that runs without TensorFlow.

    Example: edgefeat export mobilenet_v2 --alpha 0.35 --calibration photos/

    BACKBONE is a name such as mobilenet_v2, resnet50 or efficientnet_lite0; a KerasHub preset, preset folder or class
    with hub: before it, such as hub:dinov2_small; or a saved model: a .keras or .h5 file of Keras 2 or 3 (a Teachable
    Machine export, for example), a SavedModel folder, the model.json of TensorFlow.js, or the .json of model.to_json()
    with --weights.

    Each model file is compared with Keras before anything is written. Files that are not faithful are left out.
    """
    from edgefeat_export._export import export
    from edgefeat_export._pipeline.worker_pool import StepCost

    # Handle SIGTERM like Ctrl-C: stop the converters and remove the scratch folder.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    costs: list[StepCost] = []
    notes: list[str] = []

    def tell(note: str) -> None:
        notes.append(note)
        click.echo(f"edgefeat: {printable(note)}", err=True)

    extractor = export(
        backbone,
        output,
        alpha=alpha,
        input_size=input_size,
        preprocess=preprocess,
        inputs=dict(map(parse_input, inputs)),
        skip_layers=skip_layers,
        config={name: json.loads(value) for name, value in parse_config(config).items()},
        layers=layers,
        pooling=pooling,
        normalize=normalize,
        project=project,
        whiten=whiten,
        weights=weights,
        calibration=calibration,
        evaluation=evaluation,
        variants=None if variants is None else _listed(variants),
        min_fidelity=min_fidelity,
        correction={"all": None, "none": []}.get(correction, _listed(correction)),
        effort=effort,
        float_layers=float_layers,
        integer_input=integer_input,
        fit=fit,
        background=background,
        frames=frame_names(frames, frame_format, int(frame_rotation), frame_color),
        seed=seed,
        jobs=jobs,
        overwrite=overwrite,
        tell=tell,
        on_step=costs.append,
    )
    manifest = extractor.bundle.manifest
    if as_json:
        bundle, steps = str(extractor.bundle.path), [to_json(cost) for cost in costs]
        echo_json({"bundle": bundle, "manifest": to_json(manifest), "notes": notes, "steps": steps})
    else:
        _report(extractor)
    missing = [refusal.name for refusal in manifest.refusals]
    if missing and variants is not None:
        click.echo(f"edgefeat: requested with --variants but not written: {', '.join(missing)}", err=True)
    return 1 if missing and (strict or variants is not None) else 0


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _report(extractor: Extractor) -> None:
    manifest = extractor.bundle.manifest
    click.echo(
        f"{printable(str(extractor.bundle.path))}: {', '.join(f'{tap.name} {tap.shape}' for tap in manifest.taps)}"
    )
    echo_table(FIDELITY_HEADER, [fidelity_row(*row) for row in fidelities(manifest)])
    for tap, accuracy in accuracies(manifest):
        click.echo(accuracy_sentence(tap, accuracy))
    if manifest.backbone.weights.startswith("random"):
        click.echo("The weights are random: the features mean nothing.")
