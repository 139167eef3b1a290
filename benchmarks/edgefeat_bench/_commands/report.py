"""`edgefeat-bench report`: results as a page, Markdown and pictures."""

from __future__ import annotations

from pathlib import Path

import click

from edgefeat._commands.cli.terminal import documented
from edgefeat_bench._report.publication import publish

_PATH = click.Path(path_type=Path)


@click.command("report", epilog=documented("benchmarks/README"))
@click.argument("results", nargs=-1, required=True, type=_PATH, metavar="RESULT.json...")
@click.option("-o", "--output", default="report", show_default=True, type=_PATH, help="Folder to write to.")
@click.option("--readme", type=_PATH, help="Also update the figures in this Markdown file.")
def command(results: tuple[Path, ...], output: Path, readme: Path | None) -> int:
    """Write a folder with README.md, the page index.html, pictures and a copy of every RESULT.json.

    \b
    Example: edgefeat-bench report results/*.json -o results/report

    With --readme, the figures between the lines <!-- figures: begin --> and <!-- figures: end --> of that file are
    replaced. The first result gives its tables.
    """
    for path in publish(results, output, readme):
        click.echo(f"written: {path}")
    return 0
