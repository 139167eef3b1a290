"""`edgefeat-bench gate`: exit status 1 if edgefeat got worse than in an older run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented
from edgefeat_bench._records import Run
from edgefeat_bench._report.regression import Check, gate
from edgefeat_bench._statistics import Estimate

_HEADER = ("", "measure", "contender", "photos", "old", "interval", "new", "interval", "change")
_SHARE: Any = {"show_default": True, "type": click.FloatRange(0, 1, max_open=True)}


@click.command("gate", epilog=documented("benchmarks/README"))
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--tolerance", default=0.1, help="How much of a ratio may be lost.", **_SHARE)
@click.option("--fidelity", default=0.005, help="How much a cosine, an overlap or an accuracy may lose.", **_SHARE)
@click.option("--unlike-machines", is_flag=True, help="Compare runs of different machines.")
@click.option("--all", "show_all", is_flag=True, help="Also show what did not get worse.")
@json_option
def command(old: Path, new: Path, show_all: bool, as_json: bool, **options: Any) -> int:
    """Compare the ratios of NEW with those of OLD. A ratio is edgefeat to TensorFlow in the same run.

    The exit status is 1 if a ratio fell by more than the tolerance and its interval is below the old one, otherwise 0.
    """
    runs = Run.read(old), Run.read(new)
    checks = gate(*runs, **options)
    fell = [one for one in checks if one.verdict == "fell"]
    if as_json:
        echo_json({"fell": len(fell), "rows": [asdict(one) for one in checks]})
        return 1 if fell else 0
    for path, run in zip((old, new), runs, strict=True):
        for reason in run.unstable:
            click.echo(f"{path} is unstable: {reason}", err=True)
    if shown := [one for one in checks if show_all or one.verdict != "kept"]:
        echo_table(_HEADER, [_row(one) for one in shown])
    compared = sum(one.verdict != "not compared" for one in checks)
    click.echo(f"{len(fell) or 'None'} of {compared} figures fell.")
    return 1 if fell else 0


def _row(one: Check) -> tuple[str, ...]:
    verdict = one.verdict.upper() if one.verdict == "fell" else one.verdict
    return verdict, one.measure, one.name, one.where or "-", *_cells(one.old), *_cells(one.new), one.reason


def _cells(estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return "-", "-"
    spread = f"{estimate.low:.4g} to {estimate.high:.4g}" if estimate.high > estimate.low else "-"
    return f"{estimate.median:.4g}", spread
