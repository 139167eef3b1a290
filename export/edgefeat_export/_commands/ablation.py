"""`edgefeat ablation`: how much each piece of the int8 correction improves fidelity."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from edgefeat._bundle.json_records import to_json
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented
from edgefeat_export._images.calibration import SYNTHETIC
from edgefeat_export._spec import NetworkSpec, input_size

if TYPE_CHECKING:
    from edgefeat_export._pipeline.ablation import Row

__all__ = ["command"]

_HEADER = ("variant", "pieces", "kept", "mean cosine", "minimum", "overlap@10", "size", "ms", "float32 ms")


@click.command("ablation", epilog=documented("fidelity"))
@click.argument("backbone")
@click.option("--alpha", type=float, help="Width multiplier of a MobileNet.")
@click.option("--input-size", "size", metavar="N|HEIGHTxWIDTH", help="Input size of the model in pixels.")
@click.option("--preprocess", metavar="MODE", help="How pixels are scaled, as in edgefeat export.")
@click.option("--weights", metavar="imagenet|random|FILE", help="As in edgefeat export.")
@click.option(
    "--layer", "layers", multiple=True, metavar="NAME", help="Cut at this layer; of several, the first is measured."
)
@click.option("--calibration", default=SYNTHETIC, show_default=True, type=click.Path(), help="Folder of photos.")
@click.option("--evaluation", type=click.Path(), help="Folder of other photos to measure fidelity on.")
@click.option("--seed", default=0, show_default=True)
@json_option
def command(
    backbone: str,
    alpha: float | None,
    size: str | None,
    preprocess: str | None,
    weights: str | None,
    layers: tuple[str, ...],
    calibration: str,
    evaluation: str | None,
    seed: int,
    as_json: bool,
) -> int:
    """Show what each int8 correction gains.

    Example: edgefeat ablation mobilenet_v2 --alpha 0.35 --calibration photos/

    Makes int8 files without any correction, then with one more piece at a time, and shows the fidelity, size and speed
    of each. Writes no bundle. BACKBONE and the options are those of edgefeat export.
    """
    from edgefeat_export._pipeline.ablation import ablation

    spec = NetworkSpec(
        backbone=backbone,
        alpha=alpha,
        preprocess=preprocess,
        weights=weights,
        seed=seed,
        size=None if size is None else input_size(size),
        layers=layers,
        calibration=calibration,
        evaluation=evaluation,
    )
    quiet = as_json or not sys.stderr.isatty()
    rows: list[Row] = list(ablation(spec, lambda step: None if quiet else click.echo(step, err=True)))
    if as_json:
        echo_json(to_json(rows))
        return 0
    echo_table(_HEADER, [_cells(row) for row in rows])
    return 0


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.variant,
        " ".join(row.pieces) or "none",
        " ".join(row.kept) or "none",
        f"{row.fidelity.mean_cosine:.5f}",
        f"{row.fidelity.minimum_cosine:.5f}",
        "-" if row.fidelity.overlap is None else f"{row.fidelity.overlap:.3f}",
        f"{row.size / 1e6:.2f} MB",
        f"{row.milliseconds:.2f}",
        f"{row.float32_milliseconds:.2f}",
    )
