"""`edgefeat micro`: run a bundle's file without floats in TensorFlow Lite Micro, and write it as a C array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError, Bundle, ExportError, OutputError, PictureError
from edgefeat._bundle.fidelity import cosines
from edgefeat._bundle.golden import KERAS, read_golden
from edgefeat._bundle.manifest import Integers
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented
from edgefeat._engines.adapters.integers import finished
from edgefeat._images.limits import without_advice
from edgefeat._images.picture import read_picture
from edgefeat._images.sources.folders import pictures_in
from edgefeat_export._bundle.microcontroller import resolver
from edgefeat_export._commands.chips import tflite_micro
from edgefeat_export._commands.chips.variant import integer_variant

__all__ = ["command"]


@click.command("micro", epilog=documented("npu"))
@click.argument("bundle", type=click.Path())
@click.option(
    "--photos", type=click.Path(), metavar="FOLDER", help="Photos to compare on.  [default: the bundle's golden images]"
)
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The most photos to run.")
@click.option(
    "-o", "--output", type=click.Path(), metavar="FOLDER", help="Write feature_model.h and feature_model.cc here."
)
@json_option
def command(bundle: str, photos: str | None, limit: int, output: str | None, as_json: bool) -> int:
    """Run the tflite-integer file of BUNDLE in TensorFlow Lite Micro, and show the arena and the operators it needs.

    Example: edgefeat micro mobilenet_v2.edgefeat -o firmware/

    The interpreter is the C++ one of the firmware. Its outputs are compared with those of LiteRT's reference kernels:
    if any integer differs, the exit status is 1. With -o the file is written as a C array, with the arena's size.
    """
    opened = Bundle.open(bundle)
    variant = integer_variant(opened)
    integers, manifest = variant.integers, opened.manifest
    if integers is None:
        raise ArgumentError(f"variant {variant.name} of bundle {opened.path} has floats")
    model = opened.read(variant.file)
    golden = read_golden(opened) if photos is None else None
    pictures = golden.pictures if golden is not None else _prepared(opened, str(photos), limit)
    levels = pictures if integers.input == "uint8" else (pictures ^ 128).view(np.int8)
    run = tflite_micro.run_micro(model, levels, len(manifest.taps))
    expected = tflite_micro.reference_outputs(model, levels)
    different = sum(int((a != b).sum()) for a, b in zip(run.outputs, expected, strict=True))
    keras = None if golden is None else _cosine(opened, integers, run.outputs, golden.features[KERAS])
    result = {
        "bundle": str(opened.path),
        "variant": variant.name,
        "tflite_micro": tflite_micro.version(),
        "arena": run.arena,
        "model": len(model),
        "operators": list(integers.operators),
        "pictures": len(pictures),
        "integers": sum(one.size for one in run.outputs),
        "different": different,
        "keras_cosine": keras,
    }
    if output is not None:
        from edgefeat_export._commands.chips.firmware import write_firmware

        _make_folder(Path(output))
        write_firmware(Path(output), manifest, integers, model, run.arena)
    if as_json:
        echo_json(result)
    else:
        _report(result, integers)
    return 1 if different else 0


def _prepared(bundle: Bundle, photos: str, limit: int) -> NDArray[np.uint8]:
    """Return the photos of a folder in the model's form. Raises ArgumentError if there are none that can be read."""
    found = []
    for path in pictures_in(photos, unlisted=lambda error: click.echo(f"edgefeat: {error}", err=True))[:limit]:
        try:
            found.append(read_picture(path, bundle.manifest.picture, "exact"))
        except PictureError as error:
            click.echo(f"edgefeat: {path}: {without_advice(error)}", err=True)
    if not found:
        raise ArgumentError(f"folder {photos!r} has no photo that can be read")
    return np.stack(found)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {folder} cannot be made: {error.strerror}") from error


def _cosine(
    bundle: Bundle, integers: Integers, outputs: Sequence[NDArray[np.int8]], keras: dict[str, NDArray[np.float32]]
) -> float:
    """Return the lowest mean cosine of a tap to Keras. The file's outputs are in the manifest's order of taps."""
    means = []
    for tap, levels in zip(bundle.manifest.taps, outputs, strict=True):
        if levels.shape[1:] != tap.shape:
            raise ExportError(f"TensorFlow Lite Micro gives {levels.shape[1:]} for tap {tap.name}, not {tap.shape}")
        features = finished(levels, tap, integers.outputs[tap.name])
        means.append(float(cosines(features, keras[tap.name]).mean()))
    return min(means)


def _report(result: dict[str, Any], integers: Integers) -> None:
    equal = "equal" if not result["different"] else f"{result['different']} different"
    cosine = "-" if result["keras_cosine"] is None else f"{result['keras_cosine']:.5f}"
    echo_table(
        ("arena", "model", "images", "integers", "to LiteRT's reference", "cosine to Keras"),
        [
            (
                f"{result['arena'] / 1024:.1f} KB",
                f"{result['model'] / 1024:.1f} KB",
                str(result["pictures"]),
                str(result["integers"]),
                equal,
                cosine,
            )
        ],
    )
    click.echo(f"TensorFlow Lite Micro {result['tflite_micro']}, on this machine. The operators that the file uses:")
    click.echo("")
    click.echo(resolver(integers))
