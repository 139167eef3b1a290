"""`edgefeat pack`: everything that a board needs in one file."""

from __future__ import annotations

import os
import shlex

import click

from edgefeat._bundle.atomic_files import written_file
from edgefeat._bundle.reader import Bundle
from edgefeat._commands.cli.options import echo_json, json_option
from edgefeat._commands.cli.terminal import documented, printable
from edgefeat._commands.deploy.pack import FOLDER, Pack, make_pack
from edgefeat._commands.deploy.services import parse_service
from edgefeat._commands.deploy.target import TARGETS, target_named
from edgefeat._errors import ArgumentError

__all__ = ["command"]


@click.command("pack", short_help="Write everything that a board needs into one file.", epilog=documented("deploy"))
@click.argument("bundle", type=click.Path())
@click.option(
    "--for",
    "board",
    required=True,
    metavar="BOARD",
    help=f"What to pack for: {', '.join(target.name for target in TARGETS)}, or this (this machine).",
)
@click.option("-o", "--output", required=True, type=click.Path(), metavar="FILE", help="File to write, .tar.gz.")
@click.option("--offline", is_flag=True, help="Include all wheels, for a board without a network.")
@click.option("--python", metavar="X.Y", help="The board's Python.  [default: that of its system]")
@click.option("--engine", metavar="NAME", help="Engine to install.  [default: litert, on 32 bits tflite-runtime]")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="COMMAND",
    help="Also run this as a service, such as 'watch ~/incoming --into ~/photos.db'. Repeatable.",
)
@click.option("--fresh", is_flag=True, help="Ask the package index again instead of reusing the last run's wheels.")
@json_option
def command(
    bundle: str,
    board: str,
    output: str,
    offline: bool,
    python: str | None,
    engine: str | None,
    services: tuple[str, ...],
    fresh: bool,
    as_json: bool,
) -> int:
    """Write BUNDLE, the runtime and an installer for a board into one file.

    \b
    Example:
      edgefeat pack mobilenet_v2.edgefeat --for pi-trixie-64 --offline -o board.tar.gz
      on the board: tar -xf board.tar.gz && sh edgefeat-board/install.sh

    The installer checks the board, installs beside what is running, compares features with Keras there, and only then
    switches over.
    """
    if not output.endswith((".tar.gz", ".tgz")):
        raise ArgumentError(f"{output} is not the name of an archive (allowed: .tar.gz, .tgz)")
    if os.path.isdir(output):
        raise ArgumentError(f"{output} is a folder: choose a file with -o")
    pack = make_pack(
        Bundle.open(bundle),
        target_named(board, python=python),
        engine=engine,
        offline=offline,
        services=[parse_service(text) for text in services] or None,
        fresh=fresh,
    )
    with written_file(output) as stream:
        pack.write(stream, folder=FOLDER, gzip=True)
    size = os.path.getsize(output)
    if as_json:
        echo_json({"file": output, "bytes": size, **_described(pack)})
        return 0
    packages = "all packages included" if offline else "the board downloads its packages"
    what = f"{pack.bundle} on {pack.engine}: {', '.join(pack.variants)}"
    click.echo(f"{printable(output)}: {size / 1e6:.1f} MB, {what}; {packages}")
    click.echo(f"on the board: tar -xf {shlex.quote(os.path.basename(output))} && sh {FOLDER}/install.sh")
    return 0


def _described(pack: Pack) -> dict[str, object]:
    return {
        "release": pack.identity,
        "board": pack.target.name,
        "python": pack.target.version,
        "machine": pack.target.machine,
        "bundle": pack.bundle,
        "engine": pack.engine,
        "variants": pack.variants,
        "offline": pack.offline,
        "files": [{"name": file.name, "bytes": file.size, "sha256": file.sha256} for file in pack.files()],
    }
