"""`edgefeat-bench report`: results become tables, a page and pictures."""

from __future__ import annotations

from pathlib import Path

import click

from edgefeat_bench._report.publication import publish

__all__ = ["command"]


@click.command("report")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULT.json...")
@click.option("-o", "--output", default="report", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option(
    "--readme", type=click.Path(path_type=Path), help="Markdown file whose figures, between its marks, are made anew."
)
def command(results: tuple[Path, ...], output: Path, readme: Path | None) -> int:
    """Write README.md, the page index.html, pictures and a copy of every RESULT.json into a folder.

    With --readme the figures between the lines <!-- figures: begin --> and <!-- figures: end --> of that file are
    replaced as well; the first result gives its tables.
    """
    for path in publish(results, output, readme):
        click.echo(f"written: {path}")
    return 0
