"""Export, extract, time and search in one go: `python -m edgefeat_bench.demo [--photos FOLDER]`.

Exports MobileNetV2 0.35, or, if its ImageNet weights are not available, a small network that it trains on generated
photos. Extracts features in a process that never loads TensorFlow, times that against Keras, and searches. Everything
it writes is in `demo/`.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

import edgefeat
from edgefeat._commands.cli.options import echo_table
from edgefeat._engines.selection import default_threads
from edgefeat._images.sources.folders import pictures_in
from edgefeat_bench._commands.main import exit_status
from edgefeat_bench._report.tables import tables
from edgefeat_bench._run.benchmark import run
from edgefeat_bench._setup import small_network
from edgefeat_bench._setup.generated_photos import make_photos
from edgefeat_bench._setup.settings import SHORT, Settings

_NETWORK = ["mobilenet_v2", "--alpha", "0.35", "--input-size", "224", "--pooling", "avg", "--normalize", "l2"]
_OWN = ["--layer", small_network.LAST_LAYER, "--preprocess", small_network.PREPROCESSING]
_TIMED_PHOTOS, _QUERIES = 8, 4
_EDGEFEAT = [sys.executable, "-m", "edgefeat"]
# Runs the command line and fails if that loaded TensorFlow.
_WITHOUT_TENSORFLOW = """
import sys
from edgefeat.__main__ import main
status = main(sys.argv[1:])
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
sys.exit(status)
"""


@click.command()
@click.option("--photos", type=click.Path(), help="Folder of your photos.  [default: generated photos]")
@click.option("-o", "--output", default="demo", show_default=True, type=click.Path(), help="Folder to write to.")
def _demo(photos: str | None, output: str) -> int:
    folder = Path(output)
    source = photos if photos is not None else str(folder / "photos")
    if photos is None:
        made = make_photos(Path(source))
        click.echo(f"No photos were given (PHOTOS=folder): {len(made)} generated ones are in {source}.")
    if not pictures_in(source):
        raise edgefeat.ArgumentError(f"no photo in {source!r} (expected: PHOTOS= a folder of photos)")
    _heading("1. Export: a Keras backbone becomes a bundle")
    bundle, model = _exported(folder, source, generated=photos is None)
    database = folder / "features.db"
    database.unlink(missing_ok=True)  # an earlier demo's: its bundle was another one
    _heading("2. Extract features, without TensorFlow")
    extract = ["extract", str(bundle), source, "--into", str(database)]
    if status := _call([sys.executable, "-c", _WITHOUT_TENSORFLOW], extract):
        return status
    click.echo("That process never imported TensorFlow.")
    _heading("3. Time per photo, from file to feature, compared with Keras in the same run")
    calibration = "synthetic" if photos is None and not model else source
    _time(bundle, model, source, calibration, folder)
    _heading("4. Nearest neighbours of some photos, by cosine")
    if model and photos is not None:
        click.secho("This network has seen only generated photos: its neighbours among yours mean little.", bold=True)
    sheet = folder / "neighbours.png"
    files = pictures_in(source)
    queries = files[:: max(1, len(files) // _QUERIES)][:_QUERIES]
    status = _call(_EDGEFEAT, ["search", str(database), *queries, "-k", "4", "--sheet", str(sheet)])
    click.echo(f"\nA contact sheet is in {sheet}; bundle, features and benchmark are in {folder}/.")
    return status


def _exported(folder: Path, source: str, *, generated: bool) -> tuple[Path, str]:
    """Return the bundle, and the Keras file it was made from if that was trained here."""
    calibration = [] if generated else ["--calibration", source]
    bundle = folder / "mobilenet_v2_0.35_224.edgefeat"
    if _call(_EDGEFEAT, ["export", *_NETWORK, *calibration, "-o", str(bundle), "--overwrite"]) == 0:
        return bundle, ""
    click.secho("\nNo ImageNet weights here: the demo trains a small network on generated photos.", bold=True)
    model, bundle = folder / "made_up_scenes.keras", folder / "made_up_scenes.edgefeat"
    training = [sys.executable, "-m", small_network.__name__, str(model)]
    trained = subprocess.run(training, check=False, stderr=subprocess.PIPE, text=True)  # TensorFlow logs there
    if trained.returncode != 0:
        raise edgefeat.EdgefeatError(f"the small network could not be trained: {trained.stderr[-2000:]}")
    options = [*_OWN, "--pooling", "avg", "--normalize", "l2", "--calibration", source]
    if _call(_EDGEFEAT, ["export", str(model), *options, "-o", str(bundle), "--overwrite"]) != 0:
        raise edgefeat.ExportError("the export failed, see above")
    return bundle, str(model)


def _time(bundle: Path, model: str, source: str, calibration: str, folder: Path) -> None:
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
        calibration=calibration,
        model=model,
    )
    measured = run(settings, command="python -m edgefeat_bench.demo", tell=lambda _: None, show=True)
    measured.write(folder / "benchmark.json")
    (table,) = tables("terminal", measured)
    echo_table(table.header, [row.cells for row in table.rows])
    click.echo("For other contenders, larger photos, memory and start: edgefeat-bench run --help")


def _heading(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _call(program: Sequence[str], arguments: Sequence[str]) -> int:
    click.echo(f"$ edgefeat {shlex.join(arguments)}")
    return subprocess.run([*program, *arguments], check=False).returncode


def main() -> int:
    """Run the demo and return its exit status."""
    return exit_status(_demo, "edgefeat_bench.demo")


if __name__ == "__main__":
    sys.exit(main())
