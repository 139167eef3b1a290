"""The whole way in one go, as a newcomer would walk it: `python -m edgefeat_bench.demo [--photos FOLDER]`.

Exports MobileNetV2 0.35 (or, where its ImageNet weights cannot be had, a small network that it trains on made-up
pictures), extracts features in a process that never loads TensorFlow, times that against Keras, and shows each photo's
nearest neighbours. Everything it writes is below `demo/`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

import edgefeat
from edgefeat._commands.cli.options import echo_table
from edgefeat._commands.sheets.sheet import Sheet, SheetRow, Tile
from edgefeat._commands.sheets.sheet_file import write_sheet
from edgefeat._engines.selection import default_threads
from edgefeat._images.sources.folders import pictures_in
from edgefeat._search.ranking import rank
from edgefeat_bench._commands.main import exit_status
from edgefeat_bench._report.markdown import HEADER, markdown, rows
from edgefeat_bench._run.benchmark import run
from edgefeat_bench._setup import small_network
from edgefeat_bench._setup.generated_photos import make_pictures
from edgefeat_bench._setup.settings import SHORT, Settings
from edgefeat_bench._setup.small_network import LAST_LAYER, PREPROCESSING

__all__ = ["main"]

_NETWORK = ["mobilenet_v2", "--alpha", "0.35", "--input-size", "224", "--pooling", "avg", "--normalize", "l2"]
_TIMED_PHOTOS = 8
_SHOWN_PHOTOS = 24
_NEIGHBOURS = 4
# Runs the command line and fails if that loaded TensorFlow.
_WITHOUT_TENSORFLOW = """
import sys
from edgefeat.__main__ import main
status = main(sys.argv[1:])
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
sys.exit(status)
"""


@click.command()
@click.option("--photos", type=click.Path(), help="Folder of your photos.  [default: pictures made here]")
@click.option("-o", "--output", default="demo", show_default=True, type=click.Path(), help="Folder to write to.")
def _demo(photos: str | None, output: str) -> int:
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    source = _photos(photos, folder)
    bundle, model = _export(folder, photos)
    features = folder / "features.npz"
    _heading("2. Extract features, without TensorFlow")
    status = _call([sys.executable, "-c", _WITHOUT_TENSORFLOW], ["extract", str(bundle), source, "-o", str(features)])
    if not features.exists():
        return status
    click.echo("That process never imported TensorFlow.")
    _time(bundle, model, source, folder, photos)
    _show_neighbours(features, folder, made=photos is None, own=bool(model))
    return 0


def _photos(given: str | None, folder: Path) -> str:
    if given is not None:
        if not pictures_in(given):
            raise edgefeat.ArgumentError(f"no picture in {given!r}: give a folder of photos with PHOTOS=")
        return given
    made = folder / "photos"
    make_pictures(made)
    click.echo(f"No photos were given (PHOTOS=folder): {len(pictures_in(made))} made-up ones are in {made}.")
    return str(made)


def _export(folder: Path, photos: str | None) -> tuple[Path, str]:
    """Writes the bundle; and names the Keras file it was made from, where that had to be trained here."""
    _heading("1. Export: a Keras backbone becomes a bundle")
    calibration = ["--calibration", photos] if photos is not None else []
    bundle = folder / "mobilenet_v2_0.35_224.edgefeat"
    edgefeat_command = [sys.executable, "-m", "edgefeat"]
    if _call(edgefeat_command, ["export", *_NETWORK, *calibration, "-o", str(bundle), "--overwrite"]) == 0:
        return bundle, ""
    click.echo("")
    click.secho("No ImageNet weights here: the demo trains a small network of its own on made-up pictures.", bold=True)
    model, bundle = folder / "made_up_scenes.keras", folder / "made_up_scenes.edgefeat"
    training = [sys.executable, "-m", small_network.__name__, str(model)]
    trained = subprocess.run(training, check=False, stderr=subprocess.PIPE, text=True)  # TensorFlow talks there
    if trained.returncode != 0:
        raise edgefeat.EdgefeatError(f"the small network could not be trained: {trained.stderr[-2000:]}")
    own = ["--layer", LAST_LAYER, "--preprocess", PREPROCESSING, "--pooling", "avg", "--normalize", "l2"]
    calibration = calibration or ["--calibration", str(folder / "photos")]
    if _call(edgefeat_command, ["export", str(model), *own, *calibration, "-o", str(bundle), "--overwrite"]) != 0:
        raise edgefeat.ExportError("the export failed, see above")
    return bundle, str(model)


def _time(bundle: Path, model: str, source: str, folder: Path, photos: str | None) -> None:
    _heading("3. Time per photo, from file to feature, against Keras in the same run")
    settings = Settings(
        bundle,
        folder / "benchmark",
        threads=default_threads(),
        extent=replace(SHORT, photos=_TIMED_PHOTOS, rounds=5),
        photos=source,
        sizes=("640x480",),
        only=("keras predict", "edgefeat tflite", "edgefeat onnx"),
        cold=False,
        bulk=False,
        peaks=False,
        calibration=source if photos is not None or model else "synthetic",
        model=model,
    )
    measured = run(settings, command="python -m edgefeat_bench.demo", tell=_ignore, show=True)
    measured.write(folder / "benchmark.json")
    (folder / "benchmark.md").write_text(markdown(measured))
    echo_table(HEADER, rows(measured))
    click.echo("The other contenders, larger photos, memory and start: edgefeat-bench run --help")


def _ignore(_: str) -> None:
    """What the benchmark does meanwhile is its own affair."""


def _show_neighbours(features: Path, folder: Path, *, made: bool, own: bool) -> None:
    _heading("4. Each photo's nearest neighbours, by cosine")
    with np.load(features) as table:
        paths, vectors = table["paths"].tolist(), table["features"]
    if len(paths) < 2:
        click.echo("One photo has no neighbours: give more.")
        return
    shown = paths[:_SHOWN_PHOTOS]
    found = rank([(paths, vectors)], vectors[: len(shown)], _NEIGHBOURS + 1)
    neighbours = [
        [one for one in row if one.path != path][:_NEIGHBOURS] for path, row in zip(shown, found, strict=True)
    ]
    echo_table(
        ("photo", "nearest", "cosine", "then"),
        [
            (
                os.path.basename(path),
                os.path.basename(row[0].path),
                f"{row[0].cosine:.3f}",
                ", ".join(os.path.basename(one.path) for one in row[1:3]),
            )
            for path, row in zip(shown, neighbours, strict=True)
        ],
    )
    if len(paths) > len(shown):
        click.echo(f"... and {len(paths) - len(shown)} more photos.")
    sheet = folder / "neighbours.png"
    sheet_rows = [
        SheetRow(path, Tile(path, "query"), [Tile(one.path, f"{one.cosine:.3f}") for one in row])
        for path, row in zip(shown, neighbours, strict=True)
    ]
    write_sheet(Sheet("Each photo's nearest neighbours", f"Among {len(paths)} photos, by cosine.", sheet_rows), sheet)
    click.echo(f"\nTo look at: {sheet}. Bundle, features and benchmark are in {folder}/.")
    if made:
        right = sum(_scene_of(path) == _scene_of(row[0].path) for path, row in zip(shown, neighbours, strict=True))
        click.echo(f"{right} of {len(shown)} pictures have one of the same scene as their nearest neighbour.")
    elif own:
        click.secho(
            "The network was trained on made-up pictures alone: neighbours among your photos say little. "
            "With ImageNet weights they do.",
            bold=True,
        )


def _scene_of(path: str) -> str:
    return os.path.basename(path).partition("_")[0]


def _heading(text: str) -> None:
    click.echo("")
    click.secho(text, bold=True)


def _call(program: Sequence[str], arguments: Sequence[str]) -> int:
    click.echo(f"$ edgefeat {shlex.join(arguments)}")
    return subprocess.run([*program, *arguments], check=False).returncode


def main() -> int:
    """Runs the demo and gives its exit status."""
    return exit_status(_demo, "edgefeat_bench.demo")


if __name__ == "__main__":
    sys.exit(main())
