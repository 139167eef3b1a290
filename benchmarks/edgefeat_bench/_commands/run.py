"""`edgefeat-bench run`: times every contender that is installed, in turn, on one machine."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import edgefeat
from edgefeat import ArgumentError
from edgefeat._bundle.json_records import to_json
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.selection import default_threads
from edgefeat_bench._measure.costs import AXES
from edgefeat_bench._measure.quality import labelled_photos
from edgefeat_bench._records import Run
from edgefeat_bench._report.tables import tables
from edgefeat_bench._run.benchmark import result_path, run
from edgefeat_bench._setup.bundle_export import exported_bundle, is_backbone_name
from edgefeat_bench._setup.photos import parsed_size, source_photos
from edgefeat_bench._setup.settings import FULL, SHORT, SIZES, SYNTHETIC, Settings

_PATH, _COUNT = click.Path(), click.IntRange(min=1)


@click.command("run", epilog=documented("benchmarks/README"))
@click.argument("bundle", default="mobilenet_v2", type=click.Path(path_type=Path))
@click.argument("photos", required=False, type=_PATH)
@click.option("--short/--full", "short", default=True, help="Minutes; or hours, for narrow intervals and all --costs.")
@click.option("--threads", multiple=True, type=_COUNT, help="Threads for one photo. Repeat for more runs.")
@click.option("--rounds", type=_COUNT, help="How often each photo is timed.  [default: 8; --full 30]")
@click.option("--pictures", type=_COUNT, help="Photos of each size.  [default: 4; --full 6]")
@click.option("--sizes", default=",".join(SIZES), show_default=True, help="WIDTHxHEIGHT, or array for memory.")
@click.option("--only", multiple=True, metavar="PART", help="Only contenders whose name contains PART.")
@click.option("--without", multiple=True, metavar="PART", help="No contenders whose name contains PART.")
@click.option("--add", multiple=True, metavar="NAME=COMMAND", help="Add a program (see _contenders/worker.py).")
@click.option("--cold/--no-cold", default=True, help="Time new processes from start to end.")
@click.option("--bulk/--no-bulk", default=True, help="Time a whole folder on all cores.")
@click.option("--peak/--no-peak", "peaks", default=True, help="Compare int8 inference with a matrix product.")
@click.option(
    "--costs",
    metavar="AXES",
    help=f"How cost grows: all, none, or some of {', '.join(AXES)}.  [default: none; --full all]",
)
@click.option("--labelled", type=_PATH, metavar="FOLDER", help="Measure quality; a folder of photos for each label.")
@click.option(
    "--model",
    default="",
    type=_PATH,
    metavar="FILE",
    help="File or preset folder that BUNDLE was made of; with the name of a backbone, its weights.",
)
@click.option(
    *("--calibration", "calibration"),
    default=SYNTHETIC,
    show_default=True,
    type=_PATH,
    help="Photos BUNDLE was calibrated on, for random weights and a projection.",
)
@click.option(
    *("--right-cosine", "right_cosine"),
    default=0.95,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="A lower cosine counts as wrong.",
)
@click.option("--seed", default=0, show_default=True, help="Seed for the order of the contenders.")
@click.option(
    *("-o", "--output"),
    default="results",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the results.",
)
@click.option("--resume", is_flag=True, help="Resume an interrupted run.")
@json_option
def command(bundle: Path, threads: tuple[int, ...], as_json: bool, **options: Any) -> int:
    """Time BUNDLE, TensorFlow and other projects, from photo to feature.

    \b
    Example: edgefeat-bench run mobilenet_v2 ~/Pictures

    BUNDLE is a bundle, or the name of a backbone to export first. PHOTOS is a folder. Photos of each size are made
    from it, or generated if none is large enough. Results are written to OUTPUT/<name>-<threads>t.json during the run;
    an earlier result there is moved to OUTPUT/earlier, unless it is resumed.
    """
    settings = _settings(bundle, options)
    counts = tuple(dict.fromkeys(threads or (default_threads(),)))
    if max(counts) > available_cores():
        raise ArgumentError(f"--threads {max(counts)} (allowed: 1 to {available_cores()}, this machine's cores)")
    if is_backbone_name(str(bundle)):
        exported = exported_bundle(str(bundle), settings.prepared, _tell, weights=settings.model)
        settings = replace(settings, bundle=exported)
    opened = edgefeat.Bundle.open(settings.bundle)
    settings.contenders(opened)
    found = []
    for count in counts:
        one = replace(settings, threads=count)
        path = result_path(one, opened)
        earlier = _time_of(path)
        try:
            found.append(run(one, command=shlex.join(["edgefeat-bench", *sys.argv[1:]]), tell=_tell, show=True))
        except KeyboardInterrupt:
            if path.exists() and (one.resume or _time_of(path) != earlier):
                _tell(f"complete rounds are in {path}; resume with the same command and --resume")
            raise
        _show(found[-1], path, as_json=as_json)
    if as_json:
        echo_json([to_json(one) for one in found])
    return 0


def _time_of(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _settings(bundle: Path, options: dict[str, Any]) -> Settings:
    short, rounds, pictures, added = (options.pop(name) for name in ("short", "rounds", "pictures", "add"))
    extent = SHORT if short else FULL
    extent = replace(extent, rounds=rounds or extent.rounds, photos=pictures or extent.photos)
    sizes = tuple(size.strip() for size in options.pop("sizes").split(",") if size.strip())
    if not sizes:
        raise ArgumentError(f"--sizes is empty (allowed: such as {','.join(SIZES)})")
    for size in sizes:
        parsed_size(size)
    source_photos(options["photos"])
    if options["calibration"] != SYNTHETIC and not Path(options["calibration"]).is_dir():
        raise ArgumentError(
            f"--calibration {options['calibration']!r} is not a folder (allowed: a folder of photos, or {SYNTHETIC!r})"
        )
    if options["labelled"] is not None:
        labelled_photos(options["labelled"])
    if options["model"] and not Path(options["model"]).exists():
        raise ArgumentError(
            f"--model {options['model']!r} does not exist (expected: a Keras file, or a preset's folder)"
        )
    options["costs"] = _axes(options["costs"] or ("none" if short else "all"))
    return Settings(bundle, threads=1, extent=extent, sizes=sizes, added=_added(added), **options)


def _axes(text: str) -> tuple[str, ...]:
    named = {"all": tuple(AXES), "none": ()}.get(text.strip(), tuple(name.strip() for name in text.split(",")))
    for name in named:
        if name not in AXES:
            raise ArgumentError(f"--costs {name!r} (allowed: all, none, or some of {', '.join(AXES)})")
    return named


def _added(texts: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, program = text.partition("=")
        if not name or not program.strip():
            raise ArgumentError(f"--add {text!r} (expected: NAME=COMMAND)")
        if name in found:
            raise ArgumentError(f"--add {name!r} is given twice (expected: a different name for each)")
        try:
            found[name] = shlex.split(program)
        except ValueError as error:
            raise ArgumentError(f"--add {text!r}: {error}") from None
    return found


def _show(measured: Run, path: Path, *, as_json: bool) -> None:
    if not as_json:
        (table,) = tables("terminal", measured)
        echo_table(table.header, [row.cells for row in table.rows])
        for result in measured.results:
            if result.remedy:
                click.echo(f"To measure {result.contender.name}: {result.remedy}")
    for reason in measured.unstable:
        _tell(f"this run is unstable: {reason}")
    _tell(f"written: {path}; for a page with plots: edgefeat-bench report {path}")


def _tell(text: str) -> None:
    click.echo(f"edgefeat-bench: {text}", err=True)
