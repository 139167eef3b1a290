"""`edgefeat bench`: the time for each step of extracting a photo on this device."""

from __future__ import annotations

import itertools
import json
import math
import os
from pathlib import Path

import click

from edgefeat._bundle.atomic_files import write_file
from edgefeat._bundle.json_records import to_json
from edgefeat._commands.bench.frames import FrameRun, bench_frames
from edgefeat._commands.bench.measurement import DeviceRun, bench
from edgefeat._commands.cli.options import choice_options, echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import counted, documented, printable
from edgefeat._engines.device.health import Health
from edgefeat._errors import ArgumentError
from edgefeat._extractor import load
from edgefeat._images.sources.paths import pictures_of

__all__ = ["command"]


@click.command("bench", short_help="Measure the time for each step on this device.", epilog=documented("engines"))
@click.argument("bundle", type=click.Path())
@click.argument("photos", nargs=-1, type=click.Path(), metavar="PHOTO...")
@choice_options
@click.option(
    "--frame",
    metavar="NAME",
    help="Measure camera frames instead, such as nv21-640x480: from the frame to the feature. Photos are optional.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads for one image.  [default: as for extract]")
@click.option("--exact", is_flag=True, help="Decode every pixel instead of scaling while decoding.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(min=0), help="How long to measure.")
@click.option(
    "--most", default=16, show_default=True, type=click.IntRange(min=1), help="Largest number of photos to use."
)
@click.option("-o", "--output", type=click.Path(), help="Also write every sample to this JSON file.")
@json_option
def command(
    bundle: str,
    photos: tuple[str, ...],
    variant: str | None,
    engine: str | None,
    frame: str | None,
    threads: int | None,
    exact: bool,
    seconds: float,
    most: int,
    output: str | None,
    as_json: bool,
) -> int:
    """Measure how long BUNDLE takes for each PHOTO (an image, or a folder or archive of images) on this device.

    \b
    Example: edgefeat bench mobilenet_v2.edgefeat photos/

    Decoding, resizing and inference are measured separately. The JSON output names the device; send it to contribute
    figures.
    """
    if not math.isfinite(seconds):
        raise ArgumentError(f"--seconds is {seconds} (allowed: a finite number, 0 or more)")
    paths = [*itertools.islice(pictures_of(photos, lambda path, why: _tell(f"{path}: {why}")), most)]
    if not paths and (photos or frame is None):
        raise ArgumentError(
            f"no image in {', '.join(photos)}" if photos else "no PHOTO given (allowed: images, folders)"
        )
    if output is not None:
        _check_output(output)
    measured: DeviceRun | FrameRun
    if frame is not None or (variant is not None and "@" in variant):
        measured = bench_frames(
            lambda: load(bundle, variant=variant, frame=frame, engine=engine, threads=threads),
            paths,
            seconds=seconds,
            tell=_tell,
        )
    else:
        measured = bench(
            lambda: load(
                bundle, variant=variant, engine=engine, threads=threads, decoding="exact" if exact else "fast"
            ),
            paths,
            seconds=seconds,
            tell=_tell,
        )
    if output is not None:
        write_file(Path(output), lambda stream: stream.write(json.dumps(to_json(measured), indent=1).encode()))
    if as_json:
        echo_json(to_json(measured))
    elif isinstance(measured, FrameRun):
        _report_frames(measured)
    else:
        _report(measured)
    return 0


def _tell(note: str) -> None:
    click.echo(printable(note), err=True)


def _check_output(output: str) -> None:
    """Raise ArgumentError before measuring if the output could not be written afterwards."""
    folder = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(folder):
        raise ArgumentError(f"folder {folder} does not exist: create it first, or choose another -o")
    if os.path.isdir(output):
        raise ArgumentError(f"{output} is a folder: choose a file with -o")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ArgumentError(f"{output} cannot be written: {folder} is not writable")


def _report_frames(run: FrameRun) -> None:
    click.echo(f"{run.device}, {run.cores} cores, {run.architecture}, {run.system}, Python {run.python}")
    click.echo(
        f"{run.bundle}: {run.variant} on {run.engine} {run.engine_version}, {counted(run.threads, 'thread')}, "
        f"{counted(len(run.feature.samples), 'frame')}"
    )
    figures = [f"{value:.2f}" for value in (run.feature.p50, run.feature.p90, run.feature.p99)]
    echo_table(("ms", "p50", "p90", "p99"), [("frame to feature", *figures)])
    memory = "" if run.peak_memory_bytes is None else f", peak memory {run.peak_memory_bytes / 1e6:.0f} MB"
    click.echo(f"load {run.load:.0f} ms, first call {run.first_call:.1f} ms{memory}")


def _report(run: DeviceRun) -> None:
    sizes = dict.fromkeys(f"{pixels / 1e6:.1f}" for pixels in (min(run.pixels), max(run.pixels)))
    click.echo(f"{run.device}, {run.cores} cores, {run.architecture}, {run.system}, Python {run.python}")
    click.echo(
        f"{run.bundle}: {run.variant} on {run.engine} {run.engine_version}, {counted(run.threads, 'thread')}, "
        f"{run.decoding} decoding, {counted(len(run.photos), 'photo')} of {' to '.join(sizes)} megapixels"
    )
    stages = {"decode": run.decode, "resize": run.resize, "inference": run.inference, "total": run.total}
    echo_table(
        ("ms", "p50", "p90", "p99"),
        [(name, *(f"{value:.2f}" for value in (stage.p50, stage.p90, stage.p99))) for name, stage in stages.items()],
    )
    memory = "" if run.peak_memory_bytes is None else f", peak memory {run.peak_memory_bytes / 1e6:.0f} MB"
    click.echo(f"load {run.load:.0f} ms, first call {run.first_call:.1f} ms{memory}")
    for when, health in (("before", run.before), ("after", run.after)):
        if words := _health_text(health):
            click.echo(f"{when}: {words}")


def _health_text(health: Health) -> str:
    parts = []
    if health.temperature is not None:
        parts.append(f"{health.temperature:.1f} degrees C")
    if health.clock is not None:
        parts.append(f"{health.clock:.0f} MHz")
    if health.governor is not None:
        parts.append(f"governor {health.governor}")
    if health.throttled is not None:
        warning = (
            "" if int(health.throttled, 16) == 0 else " (throttled or under-voltage: figures are of a slowed device)"
        )
        parts.append(f"throttled {health.throttled}{warning}")
    return ", ".join(parts)
