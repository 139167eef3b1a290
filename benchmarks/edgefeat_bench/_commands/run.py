"""`edgefeat-bench run`: every contender that can be had, in turn, on one machine."""

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
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.selection import default_threads
from edgefeat_bench._measure.quality import labelled_photos
from edgefeat_bench._records import Run
from edgefeat_bench._report.tables import terminal_table
from edgefeat_bench._run.benchmark import result_path, run
from edgefeat_bench._setup.bundle_export import is_backbone_name, own_bundle
from edgefeat_bench._setup.photos import parsed_size
from edgefeat_bench._setup.settings import FULL, SHORT, SIZES, Settings

__all__ = ["command"]


@click.command("run")
@click.argument("bundle", default="mobilenet_v2", type=click.Path())
@click.argument("photos", required=False, type=click.Path())
@click.option("--short/--full", "short", default=True, help="Some minutes, or hours with tight intervals and --costs.")
@click.option("--threads", multiple=True, type=click.IntRange(min=1), help="Threads for one picture; a run for each.")
@click.option("--rounds", type=click.IntRange(min=1), help="Times each picture is taken.  [default: 8; --full 30]")
@click.option("--pictures", type=click.IntRange(min=1), help="Pictures of each size.  [default: 4; --full 6]")
@click.option("--sizes", default=",".join(SIZES), show_default=True, help="WIDTHxHEIGHT of files, array for memory.")
@click.option("--only", multiple=True, metavar="PART", help="Contenders whose name has this part.")
@click.option("--without", multiple=True, metavar="PART", help="Not those whose name has this part.")
@click.option(
    "--add", multiple=True, metavar="NAME=COMMAND", help="One more contender; see edgefeat_bench._contenders.worker."
)
@click.option("--cold/--no-cold", default=True, help="Fresh processes from start to end.")
@click.option("--bulk/--no-bulk", default=True, help="A whole folder on all cores.")
@click.option("--peak/--no-peak", default=True, help="int8 inference against a matrix product.")
@click.option("--costs/--no-costs", default=None, help="Cost by input side, alpha, batch, threads, megapixels.")
@click.option("--labelled", type=click.Path(), metavar="FOLDER", help="A folder a label: measure quality, too.")
@click.option(
    "--model", default="", type=click.Path(), metavar="FILE", help="Keras file BUNDLE was made from, if one was."
)
@click.option(
    "--calibration",
    default="synthetic",
    show_default=True,
    type=click.Path(),
    help="Photos BUNDLE was calibrated on: needed again for random weights and a projection.",
)
@click.option("--right-cosine", default=0.95, show_default=True, type=click.FloatRange(0, 1), help="Below it is wrong.")
@click.option("--seed", default=0, show_default=True, help="Draws the order of the contenders.")
@click.option("-o", "--output", default="results", show_default=True, type=click.Path(), help="Folder for results.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
@json_option
def command(bundle: str, photos: str | None, threads: tuple[int, ...], **options: Any) -> int:
    """Time BUNDLE against the full TensorFlow path and the peers, from picture to feature.

    BUNDLE is a bundle, or a backbone's name to export first. PHOTOS is a folder; pictures of each size are made of its
    photos, or made up where there are none so large. What is measured is in OUTPUT/<name>-<threads>t.json as it comes.
    """
    settings = _settings(Path(bundle), photos, options)
    if is_backbone_name(bundle):
        settings = replace(settings, bundle=own_bundle(bundle, settings.prepared, _tell))
    opened = edgefeat.Bundle.open(settings.bundle)
    settings.contenders(opened)
    found = []
    for count in dict.fromkeys(threads or (default_threads(),)):
        if count > available_cores():
            raise ArgumentError(f"--threads {count} (allowed: 1 to {available_cores()}, this machine's cores)")
        one = replace(settings, threads=count)
        try:
            found.append(run(one, command=_said(), tell=_tell, show=True))
        except KeyboardInterrupt:
            if result_path(one, opened).exists():
                _tell(f"complete rounds are in {result_path(one, opened)}; go on with the same command and --resume")
            raise
        _show(found[-1], result_path(one, opened), as_json=options["as_json"])
    if options["as_json"]:
        echo_json([to_json(one) for one in found])
    return 0


def _settings(bundle: Path, photos: str | None, options: dict[str, Any]) -> Settings:
    extent = SHORT if options["short"] else FULL
    extent = replace(extent, rounds=options["rounds"] or extent.rounds, photos=options["pictures"] or extent.photos)
    sizes = tuple(size.strip() for size in options["sizes"].split(",") if size.strip())
    if not sizes:
        raise ArgumentError(f"--sizes {options['sizes']!r} (allowed: such as {','.join(SIZES)})")
    for size in sizes:
        parsed_size(size)
    if options["labelled"] is not None:
        labelled_photos(options["labelled"])
    if options["model"] and not Path(options["model"]).is_file():
        raise ArgumentError(f"--model {options['model']!r} does not exist (expected: a Keras file)")
    return Settings(
        bundle=bundle,
        output=Path(options["output"]),
        threads=1,
        extent=extent,
        photos=photos,
        sizes=sizes,
        only=options["only"],
        without=options["without"],
        added=_added(options["add"]),
        cold=options["cold"],
        bulk=options["bulk"],
        peaks=options["peak"],
        costs=not options["short"] if options["costs"] is None else options["costs"],
        labelled=options["labelled"],
        model=options["model"],
        calibration=options["calibration"],
        seed=options["seed"],
        right_cosine=options["right_cosine"],
        resume=options["resume"],
    )


def _added(texts: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, program = text.partition("=")
        if not name or not program.strip():
            raise ArgumentError(f"--add {text!r} (expected: NAME=COMMAND)")
        if name in found:
            raise ArgumentError(f"--add {name!r} is given twice (expected: a name for each)")
        try:
            found[name] = shlex.split(program)
        except ValueError as error:
            raise ArgumentError(f"--add {text!r}: {error}") from None
    return found


def _show(measured: Run, path: Path, *, as_json: bool) -> None:
    if not as_json:
        table = terminal_table(measured)
        echo_table(table.header, [row.cells for row in table.rows])
        for result in measured.results:
            if result.remedy:
                click.echo(f"{result.contender.name} comes with: {result.remedy}")
    for reason in measured.unstable:
        _tell(f"this run is unstable: {reason}")
    _tell(f"written: {path}; to read it: edgefeat-bench report {path}")


def _said() -> str:
    return shlex.join(["edgefeat-bench", *sys.argv[1:]])


def _tell(text: str) -> None:
    click.echo(f"edgefeat-bench: {text}", err=True)
