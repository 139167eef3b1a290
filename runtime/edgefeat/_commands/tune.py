"""`edgefeat tune`: finds the fastest variant, engine and number of threads on this device."""

from __future__ import annotations

import sys

import click
import numpy as np

from edgefeat._bundle.gate import parse_gate
from edgefeat._bundle.json_records import to_json
from edgefeat._bundle.reader import Bundle
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import counted, documented, printable
from edgefeat._engines.device.cache import cache_folder
from edgefeat._engines.tuning import tune
from edgefeat._engines.tuning_record import Candidate
from edgefeat._errors import ArgumentError, PictureError
from edgefeat._images.picture import read_picture
from edgefeat._images.sources.folders import pictures_in

__all__ = ["command"]

_PHOTOS = 8


@click.command("tune", short_help="Find the fastest variant and engine for this device.", epilog=documented("engines"))
@click.argument("bundle", type=click.Path())
@click.option(
    "--photos", type=click.Path(), help="Folder of photos to measure with.  [default: the bundle's golden images]"
)
@click.option(
    "--min-fidelity", metavar="COSINE", help="Skip variants with less fidelity.  [default: the bundle's gate]"
)
@json_option
def command(bundle: str, photos: str | None, min_fidelity: str | None, as_json: bool) -> int:
    """Measure BUNDLE's variants on every installed engine and remember the fastest for this device.

    \b
    Example: edgefeat tune mobilenet_v2.edgefeat

    Each candidate runs in its own process, so that a crash or a hang affects only that candidate. From then on
    `edgefeat extract` and `edgefeat.load` use the fastest one by default.
    """
    opened = Bundle.open(bundle)
    gate = parse_gate(min_fidelity) if min_fidelity is not None else None
    pictures = _pictures(opened, photos) if photos is not None else None
    quiet = as_json or not sys.stderr.isatty()
    tuning = tune(opened, gate=gate, pictures=pictures, tell=None if quiet else lambda note: click.echo(note, err=True))
    if as_json:
        echo_json(to_json(tuning))
        return 0
    echo_table(("variant", "engine", "threads", "ms", "cosine", ""), [_row(opened, one) for one in tuning.candidates])
    for sentence in tuning.slower_int8():
        click.echo(sentence)
    best = tuning.best
    click.echo(
        f"fastest here: {best.variant} on {best.engine}, {counted(best.threads, 'thread')}, {best.milliseconds:.2f} ms"
    )
    if tuning.remembered:
        click.echo(f"stored in {cache_folder()}")
    else:
        click.echo(f"not stored: {cache_folder()} cannot be written (set EDGEFEAT_CACHE to another folder)", err=True)
    return 0


def _pictures(bundle: Bundle, folder: str) -> np.typing.NDArray[np.uint8]:
    prepared = []
    for path in pictures_in(folder)[:_PHOTOS]:
        try:
            prepared.append(read_picture(path, bundle.manifest.picture))
        except PictureError as error:
            click.echo(printable(f"{path}: {error}"), err=True)
    if not prepared:
        raise ArgumentError(f"no readable photo in {folder}: choose a folder of photos with --photos")
    return np.stack(prepared)


def _row(bundle: Bundle, candidate: Candidate) -> tuple[str, ...]:
    fidelity = bundle.variant(candidate.variant).fidelity.values()
    return (
        candidate.variant,
        candidate.engine,
        str(candidate.threads) if candidate.threads else "-",
        "-" if candidate.milliseconds is None else f"{candidate.milliseconds:.2f}",
        f"{min(figures.mean_cosine for figures in fidelity):.4f}",
        "" if candidate.status == "ok" else f"{candidate.status}: {candidate.detail}",
    )
