"""`edgefeat layers`: the layers to cut at, and the cost of each cut."""

from __future__ import annotations

import click

from edgefeat._bundle.json_records import to_json
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented
from edgefeat_export._network.layers import Layer, LayerList, listed_apart
from edgefeat_export._spec import NetworkSpec, input_size, parse_config

__all__ = ["command"]


@click.command("layers", epilog=documented("choose-a-layer"))
@click.argument("backbone")
@click.option("--alpha", type=float, help="Width multiplier of a MobileNet.")
@click.option(
    "--input-size", "size", metavar="N|HEIGHTxWIDTH", help="Input size in pixels.  [default: its own, else 224]"
)
@click.option(
    "--skip-layer", "skipped", multiple=True, metavar="NAME", help="Leave out this layer, as in edgefeat export."
)
@click.option(
    "--config",
    multiple=True,
    metavar="NAME=VALUE|FILE",
    help="Argument of a KerasHub class, such as patch_size=16, or a JSON file with all of them.",
)
@json_option
def command(
    backbone: str,
    alpha: float | None,
    size: str | None,
    skipped: tuple[str, ...],
    config: tuple[str, ...],
    as_json: bool,
) -> int:
    """List the layers of BACKBONE and the cost of a cut at each.

    Example: edgefeat layers mobilenet_v2 --alpha 0.35

    BACKBONE is a name or a saved model, as in edgefeat export. Costs are parameters and multiply-accumulates (MACs) for
    one image: of the layer, and of the network up to it. A layer inside an inner model is named by its path. Use a name
    as: edgefeat export --layer NAME
    """
    spec = NetworkSpec(
        backbone=backbone,
        alpha=alpha,
        weights="random",
        size=None if size is None else input_size(size),
        skipped=skipped,
        config=parse_config(config),
    )
    listed = listed_apart(spec)
    if as_json:
        echo_json(to_json(listed))
    else:
        _report(listed)
    return 0


def _report(listed: LayerList) -> None:
    click.echo(f"{listed.backbone} at {listed.height}x{listed.width}")
    several = len({name for layer in listed.layers for name in layer.inputs}) > 1
    echo_table(
        (
            "layer",
            "kind",
            "output",
            "parameters",
            "MACs",
            "parameters to here",
            "MACs to here",
            "needs" if several else "",
        ),
        [_row(layer, several) for layer in listed.layers],
    )
    if several:
        click.echo(
            "needs: the inputs that a layer depends on. Cut where that is one image, or fix the others with --input"
        )
    for why in listed.left_out:
        click.echo(f"Not listed: the model {why}; nor the layers that depend on it.")
    if listed.left_out:
        click.echo("If such a layer only scales pixels, --skip-layer NAME leaves out that layer alone.")
    if any(layer.top for layer in listed.layers):
        click.echo("top: part of the classifier, which is exported only if you cut there.")


def _row(layer: Layer, several: bool) -> tuple[str, ...]:
    return (
        layer.name,
        layer.kind,
        "several" if layer.shape is None else "x".join(map(str, layer.shape)),
        _short(layer.parameters),
        _short(layer.macs),
        _short(layer.cumulative_parameters),
        _short(layer.cumulative_macs),
        ", ".join(layer.inputs) if several else "top" if layer.top else "",
    )


def _short(count: int) -> str:
    """Return a count with a unit: `300.8 M` for 300774272."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)
