"""`edgefeat npu`: compile a bundle's file without floats for an Arm Ethos-U NPU."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edgefeat import Bundle
from edgefeat._bundle.atomic_files import written_file
from edgefeat._bundle.json_records import to_json
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented, printable
from edgefeat_export._commands.chips.variant import integer_variant
from edgefeat_export._commands.chips.vela import TARGETS, Compiled, VelaOptions, compile_file

__all__ = ["command"]

_HEADER = ("target", "on the NPU", "on the CPU", "cycles", "clock", "time", "SRAM", "DRAM", "flash", "file")


@click.command("npu", epilog=documented("npu"))
@click.argument("bundle", type=click.Path())
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    type=click.Choice(TARGETS),
    metavar="NAME",
    help=f"The NPU: {', '.join(TARGETS)}. Repeat for several.",
)
@click.option("--variant", metavar="NAME", help="TFLite variant to compile.  [default: tflite-integer]")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FOLDER",
    help="Folder for the compiled files.  [default: the bundle's]",
)
@click.option("--config", type=click.Path(), metavar="FILE", help="Vela's configuration file of your system.")
@click.option("--system-config", metavar="NAME", help="Your system's clock and memories, in Vela's names.")
@click.option("--memory-mode", metavar="NAME", help="Where tensors and weights are, in Vela's names.")
@json_option
def command(
    bundle: str,
    targets: tuple[str, ...],
    variant: str | None,
    output: str | None,
    config: str | None,
    system_config: str | None,
    memory_mode: str | None,
    as_json: bool,
) -> int:
    """Compile the tflite-integer file of BUNDLE for an Arm Ethos-U NPU with Vela, and show what runs there.

    Example: edgefeat npu mobilenet_v2.edgefeat --target ethos-u55-128

    Cycles, time and memory are Vela's estimate for one image: nothing is run. Operators left to the CPU are named, with
    the reason. The compiled file, such as mobilenet_v2.ethos-u55-128.tflite, is written beside the bundle, not into it:
    only a program with the NPU's driver can run it.
    """
    opened = Bundle.open(bundle)
    chosen = integer_variant(opened) if variant is None else opened.variant(variant)
    if chosen.format != "tflite":
        raise click.UsageError(
            f"variant {chosen.name} is not a TFLite file (allowed: one whose name begins with tflite)"
        )
    model = opened.read(chosen.file)
    options = VelaOptions(config, system_config, memory_mode)
    folder = Path(output) if output is not None else Path(os.path.abspath(bundle)).parent
    found: list[tuple[Compiled, Path]] = []
    for target in dict.fromkeys(targets):
        compiled, content = compile_file(model, target, options)
        path = folder / f"{_name(opened, chosen.name, variant)}.{target}.tflite"
        with written_file(path) as stream:
            stream.write(content)
        found.append((compiled, path))
    if as_json:
        rows = [{**to_json(compiled), "file": str(path)} for compiled, path in found]
        echo_json({"bundle": str(opened.path), "variant": chosen.name, "targets": rows})
    else:
        _report(found)
    return 0


def _name(bundle: Bundle, chosen: str, asked: str | None) -> str:
    name = Path(os.path.abspath(bundle.path)).name.removesuffix(".edgefeat")
    return name if asked is None else f"{name}.{chosen}"


def _report(found: list[tuple[Compiled, Path]]) -> None:
    echo_table(_HEADER, [_row(compiled, path) for compiled, path in found])
    for compiled, _ in found:
        for one in compiled.fallbacks:
            result = one.result.partition(";")[0]  # the converter joins the names of the layers that it merged
            click.echo(printable(f"{compiled.target}: on the CPU: {one.operator}, result {result}: {one.reason}"))
    systems = dict.fromkeys(f"{one.target}: {one.system_config}, {one.memory_mode}" for one, _ in found)
    click.echo(f"Estimated by Vela {found[0][0].vela}, nothing was run. Systems: {'; '.join(systems)}.")


def _row(compiled: Compiled, path: Path) -> tuple[str, ...]:
    return (
        compiled.target,
        f"{compiled.npu} ({compiled.share:.0%})",
        str(compiled.cpu),
        f"{compiled.cycles / 1e6:.2f} M",
        f"{compiled.clock_mhz:.0f} MHz",
        f"{compiled.milliseconds:.2f} ms",
        *(f"{size / 1024:.0f} KB" if size else "-" for size in (compiled.sram, compiled.dram, compiled.flash)),
        path.name,
    )
