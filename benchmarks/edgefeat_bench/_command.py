"""`edgefeat-bench run`: the comparison, from the command line."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

import edgefeat
from edgefeat import ArgumentError, EdgefeatError
from edgefeat._commands._options import echo_json, echo_table, json_option
from edgefeat._files import pictures_in
from edgefeat._records import to_json
from edgefeat_bench._cold import cold_starts
from edgefeat_bench._records import Contender
from edgefeat_bench._report import COLD_HEADER, HEADER, cold_rows, markdown, rows
from edgefeat_bench._run import default_contenders, run

__all__ = ["exit_status", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(edgefeat.__version__, prog_name="edgefeat-bench")
def _group() -> None:
    """Compare edgefeat with the full TensorFlow path, side by side in one run."""


@_group.command("run")
@click.argument("bundle", type=click.Path())
@click.argument("photos", type=click.Path())
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1), help="Times each photo is taken.")
@click.option("--most", default=10, show_default=True, type=click.IntRange(min=1), help="Photos taken from the folder.")
@click.option(
    "--starts", default=5, show_default=True, type=click.IntRange(min=0), help="Fresh processes of each kind."
)
@click.option("-o", "--output", default="results", show_default=True, type=click.Path(), help="Folder for the results.")
@json_option
def _run(bundle: str, photos: str, rounds: int, most: int, starts: int, output: str, as_json: bool) -> int:
    """Time BUNDLE against Keras on PHOTOS, a folder: from file to feature, one photo at a time."""
    opened = edgefeat.Bundle.open(bundle)
    chosen = pictures_in(photos)[:most]
    if not chosen:
        raise ArgumentError(f"no photo in {photos}: name a folder of photos")
    contenders: list[Contender] = default_contenders(opened)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    measured = run(bundle, chosen, rounds=rounds, contenders=contenders, show=True)
    if starts and measured.results[0].status != "absent":
        cold = cold_starts(bundle, chosen[0], rounds=starts, folder=folder, show=True)
        measured = replace(measured, cold_starts=cold)
    measured.write(folder / f"{opened.manifest.name}.json")
    (folder / f"{opened.manifest.name}.md").write_text(markdown(measured))
    if as_json:
        echo_json(to_json(measured))
    else:
        echo_table(HEADER, rows(measured))
        if measured.cold_starts:
            click.echo("")
            echo_table(COLD_HEADER, cold_rows(measured))
        click.echo(f"written: {folder / opened.manifest.name}.json and .md")
    return 0


def exit_status(command: click.Command, name: str) -> int:
    """Runs a command and gives its exit status: 0 done, 1 the work failed, 2 wrong use."""
    try:
        status = command.main(prog_name=name, standalone_mode=False)
    except click.exceptions.Abort:
        click.echo(f"{name}: interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgefeatError as error:
        click.echo(f"{name}: {error}", err=True)
        return 2 if isinstance(error, ArgumentError) else 1
    return status if isinstance(status, int) else 0


def main() -> int:
    """Runs `edgefeat-bench` and gives its exit status."""
    return exit_status(_group, "edgefeat-bench")


if __name__ == "__main__":
    sys.exit(main())
