"""The whole way in one go, as a newcomer would walk it: `python -m edgefeat_bench.demo [--photos FOLDER]`.

Exports MobileNetV2 0.35, extracts features in a process that never loads TensorFlow, times that against Keras, and
shows each photo's nearest neighbours. Everything it writes is below `demo/`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

import edgefeat
from edgefeat._commands._options import echo_table
from edgefeat._files import pictures_in
from edgefeat_bench._command import exit_status
from edgefeat_bench._pictures import make_pictures
from edgefeat_bench._report import HEADER, markdown, rows
from edgefeat_bench._run import default_contenders, run
from edgefeat_bench._sheet import nearest, write_sheet

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
    bundle = folder / "mobilenet_v2_0.35_224.edgefeat"
    random = _export(bundle, photos)
    features = folder / "features.npz"
    _heading("2. Extract features, without TensorFlow")
    status = _call([sys.executable, "-c", _WITHOUT_TENSORFLOW], ["extract", str(bundle), source, "-o", str(features)])
    if not features.exists():
        return status
    click.echo("That process never imported TensorFlow.")
    _time(bundle, source, folder, random)
    _show_neighbours(features, folder, random)
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


def _export(bundle: Path, photos: str | None) -> bool:
    """Writes the bundle; whether its weights had to be random."""
    _heading("1. Export: a Keras backbone becomes a bundle")
    calibration = ["--calibration", photos] if photos is not None else []
    command = ["export", *_NETWORK, *calibration, "-o", str(bundle), "--overwrite"]
    edgefeat_command = [sys.executable, "-m", "edgefeat"]
    if _call(edgefeat_command, command) == 0:
        return False
    click.echo("")
    click.secho("The demo goes on with random weights: from here on THE FEATURES MEAN NOTHING.", bold=True)
    if _call(edgefeat_command, [*command, "--weights", "random"]) != 0:
        raise edgefeat.ExportError("the export failed, see above")
    return True


def _time(bundle: Path, source: str, folder: Path, random: bool) -> None:
    _heading("3. Time per photo, from file to feature, against Keras in the same run")
    photos = pictures_in(source)[:_TIMED_PHOTOS]
    opened = edgefeat.Bundle.open(bundle)
    measured = run(str(bundle), photos, rounds=5, contenders=default_contenders(opened), show=True)
    measured.write(folder / "benchmark.json")
    (folder / "benchmark.md").write_text(markdown(measured))
    echo_table(HEADER, rows(measured))
    if random:
        click.echo("With random weights there is no Keras feature to compare with: no cosine is given.")


def _show_neighbours(features: Path, folder: Path, random: bool) -> None:
    _heading("4. Each photo's nearest neighbours, by cosine")
    with np.load(features) as table:
        paths, vectors = table["paths"].tolist(), table["features"]
    if len(paths) < 2:
        click.echo("One photo has no neighbours: give more.")
        return
    neighbours = nearest(vectors, _NEIGHBOURS)
    shown = range(min(len(paths), _SHOWN_PHOTOS))
    echo_table(
        ("photo", "nearest", "cosine", "then"),
        [
            (
                os.path.basename(paths[row]),
                os.path.basename(paths[neighbours[row][0][0]]),
                f"{neighbours[row][0][1]:.3f}",
                ", ".join(os.path.basename(paths[other]) for other, _ in neighbours[row][1:3]),
            )
            for row in shown
        ],
    )
    if len(paths) > _SHOWN_PHOTOS:
        click.echo(f"... and {len(paths) - _SHOWN_PHOTOS} more photos.")
    sheet = folder / "neighbours.png"
    write_sheet(paths, neighbours[: len(shown)], sheet)
    click.echo(f"\nTo look at: {sheet}. Bundle, features and benchmark are in {folder}/.")
    if random:
        click.secho("The weights are random: these neighbours mean nothing.", bold=True)


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
