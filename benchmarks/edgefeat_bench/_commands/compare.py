"""`edgefeat-bench compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgefeat import ArgumentError
from edgefeat._bundle.json_records import to_json
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat_bench._records import Result, Run
from edgefeat_bench._report.comparison import beside, cold_beside, side_by_side, unlike, untimed
from edgefeat_bench._report.findings import baseline, latency, times_as_fast
from edgefeat_bench._statistics import median

__all__ = ["command"]


@click.command("compare")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A.json B.json...")
@json_option
def command(results: tuple[Path, ...], as_json: bool) -> int:
    """Set runs side by side, of one machine or several. Nothing is merged; what is unlike is named first.

    "times as fast" is as each run's own full TensorFlow path.
    """
    if len(results) < 2:
        raise ArgumentError(f"{len(results)} result given (expected: two or more to set side by side)")
    runs, names = [Run.read(path) for path in results], _names(results)
    if as_json:
        echo_json(_json(runs, names))
        return 0
    for aspect, values in unlike(runs).items():
        click.echo(
            f"unlike {aspect}: " + "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
        )
    for name, run in zip(names, runs, strict=True):
        for reason in run.unstable:
            click.echo(f"{name} is unstable: {reason}")
        if untimed(run):
            click.echo(f"without a figure in {name}: {', '.join(untimed(run))}")
    click.echo("")
    echo_table(*beside(runs, names))
    header, rows = cold_beside(runs, names)
    if rows:
        click.echo("")
        echo_table(header, rows)
    return 0


def _names(results: tuple[Path, ...]) -> list[str]:
    """The files' names, or their whole paths where names are the same."""
    stems = [path.stem for path in results]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in results]


def _json(runs: list[Run], names: list[str]) -> dict[str, Any]:
    about = [
        {
            "name": name,
            "machine": to_json(run.machine),
            "bundle": run.bundle,
            "network": run.network,
            "threads": run.threads,
            "edgefeat": run.edgefeat,
            "unstable": list(run.unstable),
        }
        for name, run in zip(names, runs, strict=True)
    ]
    rows = [
        {
            "photos": photos,
            "contender": contender,
            "runs": [_figures(run, result, photos) for run, result in zip(runs, results, strict=True)],
        }
        for photos, contender, results in side_by_side(runs)
    ]
    cold = [
        [
            {
                "name": one.name,
                "seconds": to_json(median(one.seconds)),
                "peak_memory_bytes": one.peak_memory_bytes,
                "installed_bytes": one.installed_bytes,
            }
            for one in run.cold_starts
        ]
        for run in runs
    ]
    return {"runs": about, "unlike": unlike(runs), "rows": rows, "cold_starts": cold}


def _figures(run: Run, result: Result | None, photos: str) -> dict[str, Any] | None:
    if result is None:
        return None
    seconds, fast = latency(result, photos), times_as_fast(result, baseline(run), photos)
    return {
        "status": result.status,
        "seconds": to_json(seconds) if seconds else None,
        "times_as_fast": to_json(fast) if fast and result.status == "ok" else None,
    }
