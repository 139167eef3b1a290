"""`edgefeat info`: the installed engines, and the content of a bundle."""

from __future__ import annotations

import platform
from typing import Any

import click
import numpy
import PIL

from edgefeat._bundle.json_records import to_json
from edgefeat._bundle.reader import Bundle
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import counted, documented
from edgefeat._engines.device.cores import cores, memory
from edgefeat._engines.registry import ENGINES
from edgefeat._engines.selection import default_threads
from edgefeat._engines.session import open_session
from edgefeat._errors import EngineError
from edgefeat._images.pillow_version import old_pillow
from edgefeat._version import __version__, install_command

__all__ = ["command"]


@click.command("info", short_help="Show installed engines and what a bundle contains.", epilog=documented("engines"))
@click.argument("bundle", required=False, type=click.Path())
@json_option
def command(bundle: str | None, as_json: bool) -> int:
    """Show the installed engines and, for a BUNDLE, its content and what would run."""
    machine = _machine()
    opened = Bundle.open(bundle) if bundle is not None else None
    choice = _choice(opened) if opened is not None else {}
    if as_json:
        manifest = {"manifest": to_json(opened.manifest), "identity": opened.identity, **choice} if opened else {}
        echo_json({**machine, **manifest})
        return 0
    click.echo(
        f"edgefeat {__version__}, Python {machine['python']}, NumPy {machine['numpy']}, Pillow {machine['pillow']}, "
        f"{machine['platform']}, {counted(machine['threads'], 'thread')}"
    )
    click.echo(f"cores: {cores()}" + (f"; memory: {machine['memory'] // 2**20} MB" if machine["memory"] else ""))
    echo_table(
        ("engine", "version", "runs", "install with"),
        [
            (engine.name, engine.version() or "-", f".{engine.format}", install_command(engine.extra))
            for engine in ENGINES
        ],
    )
    if sentence := old_pillow():
        click.echo(f"warning: {sentence}")
    if opened is not None:
        click.echo("")
        _echo_bundle(opened, choice)
    return 0


def _machine() -> dict[str, Any]:
    share, whole = cores(), memory()
    return {
        "edgefeat": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "threads": default_threads(),
        "cores": {"usable": share.usable, "present": share.present, "reason": share.reason},
        "memory": None if whole is None else whole.size,
        "warnings": [sentence for sentence in (old_pillow(),) if sentence],
        "engines": {engine.name: engine.version() for engine in ENGINES},
    }


def _choice(bundle: Bundle) -> dict[str, str]:
    try:
        loaded = open_session(bundle, None, None, None)
    except EngineError as error:
        return {"cannot_run": str(error)}
    choice = loaded.choice
    return {"variant": choice.variant.name, "engine": choice.engine.name, "reason": choice.reason}


def _echo_bundle(bundle: Bundle, choice: dict[str, str]) -> None:
    manifest = bundle.manifest
    form = manifest.picture
    options = "".join(f", {name} {value}" for name, value in manifest.backbone.options.items())
    click.echo(f"{manifest.name}: {manifest.backbone.name}{options}, weights {manifest.backbone.weights}")
    click.echo(f"image {form.height}x{form.width} RGB uint8, fit {form.fit}, orientation {form.orientation}")
    for name in bundle.frames():
        frame = next(one.frame for one in manifest.variants if one.frame is not None and one.frame.name == name)
        colors = f", colours {frame.color}" if frame.is_yuv else ""
        click.echo(
            f"frame {name}: {' x '.join(map(str, frame.shape))} bytes, rotated by {frame.rotation} degrees{colors}"
        )
    for tap in manifest.taps:
        shape = " x ".join(map(str, tap.shape))
        click.echo(
            f"tap {tap.name}: layer {tap.layer}, pooling {tap.pooling}, {tap.normalization} norm, {shape} float32"
        )
    rows = []
    for variant in manifest.variants:
        worst = min(variant.fidelity.values(), key=lambda fidelity: fidelity.minimum_cosine)
        mark = "runs" if choice.get("variant") == variant.name else ""
        rows.append(
            (
                variant.name,
                f"{variant.file.size / 1e6:.2f} MB",
                f"{worst.mean_cosine:.5f}",
                f"{worst.minimum_cosine:.5f}",
                mark,
            )
        )
    echo_table(("variant", "size", "mean cosine", "minimum", ""), rows)
    for refusal in manifest.refusals:
        click.echo(refusal.reason)
    if "cannot_run" in choice:
        click.echo(f"cannot run here: {choice['cannot_run']}")
    else:
        click.echo(f"runs here: {choice['variant']} on {choice['engine']} ({choice['reason']})")
