"""`edgefeat-bench gate`: exit status 1 where edgefeat fell behind an older run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat_bench._records import Run
from edgefeat_bench._report.regression import Held, gate
from edgefeat_bench._statistics import Estimate

__all__ = ["command"]

_HEADER = ("", "measure", "contender", "photos", "old", "interval", "new", "interval", "change")


@click.command("gate")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of a ratio that may be lost.",
)
@click.option(
    "--fidelity",
    default=0.005,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="How much a cosine, an overlap or an accuracy may lose.",
)
@click.option("--unlike-machines", is_flag=True, help="Compare although the machines differ.")
@click.option("--all", "show_all", is_flag=True, help="Show what was kept, too.")
@json_option
def command(
    old: Path, new: Path, tolerance: float, fidelity: float, unlike_machines: bool, show_all: bool, as_json: bool
) -> int:
    """Compare the ratios of NEW with those of OLD: edgefeat to the full TensorFlow path, never times.

    Exit status 1 if one fell: beyond the tolerance, and with its interval apart from the old one. 0 if none did.
    """
    runs = Run.read(old), Run.read(new)
    held = gate(*runs, tolerance=tolerance, fidelity=fidelity, unlike_machines=unlike_machines)
    fell = [one for one in held if one.verdict == "fell"]
    if as_json:
        echo_json({"fell": len(fell), "rows": [asdict(one) for one in held]})
        return 1 if fell else 0
    for path, run in zip((old, new), runs, strict=True):
        for reason in run.unstable:
            click.echo(f"{path} is unstable: {reason}", err=True)
    shown = held if show_all else [one for one in held if one.verdict != "kept"]
    if shown:
        echo_table(_HEADER, [_row(one) for one in shown])
    compared = sum(one.verdict != "not compared" for one in held)
    click.echo(f"{len(fell)} of {compared} figures fell." if fell else f"None of {compared} figures fell.")
    return 1 if fell else 0


def _row(one: Held) -> tuple[str, ...]:
    return (one.verdict.upper() if one.verdict == "fell" else one.verdict, one.measure, one.name, one.where or "-",
            *_cells(one.old), *_cells(one.new), one.reason)  # fmt: skip


def _cells(estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return "-", "-"
    spread = f"{estimate.low:.4g} to {estimate.high:.4g}" if estimate.high > estimate.low else "-"
    return f"{estimate.median:.4g}", spread
