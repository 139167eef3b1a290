"""`edgefeat-bench compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgefeat import ArgumentError
from edgefeat._bundle.json_records import to_json
from edgefeat._commands.cli.options import echo_json, echo_table, json_option
from edgefeat._commands.cli.terminal import documented
from edgefeat_bench._records import Result, Run
from edgefeat_bench._report.comparison import differences, side_by_side, unmeasured
from edgefeat_bench._report.devices import Device, device_differences, device_rows, device_runs
from edgefeat_bench._report.findings import baseline, latency, speedup
from edgefeat_bench._report.tables import tables
from edgefeat_bench._statistics import median


@click.command("compare", epilog=documented("benchmarks/README"))
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A.json B.json...")
@json_option
def command(results: tuple[Path, ...], as_json: bool) -> int:
    """Show runs side by side, of one machine or several. Nothing is merged; differences are listed first.

    The files are results of `edgefeat-bench run`, or of `edgefeat bench --output` from several devices. Each speed-up
    is relative to TensorFlow in the same run.
    """
    if len(results) < 2:
        raise ArgumentError(f"{len(results)} result given (expected: two or more to compare)")
    names = [path.stem for path in results]
    if len(set(names)) < len(names):
        names = [str(path) for path in results]
    if (devices := device_runs(results)) is not None:
        _compare_devices(devices, names, as_json=as_json)
        return 0
    runs = [Run.read(path) for path in results]
    if as_json:
        echo_json(_json(runs, names))
        return 0
    for aspect, values in differences(runs).items():
        each = "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
        click.echo(f"different {aspect}: {each}")
    for name, run in zip(names, runs, strict=True):
        for reason in run.unstable:
            click.echo(f"{name} is unstable: {reason}")
        if without := unmeasured(run):
            click.echo(f"not measured in {name}: {', '.join(without)}")
    for table in tables("latency_comparison", runs, names) + tables("cold_comparison", runs, names):
        click.echo("")
        echo_table(table.header, [row.cells for row in table.rows])
    return 0


def _compare_devices(runs: list[Device], names: list[str], *, as_json: bool) -> None:
    if as_json:
        echo_json([{"name": name, **to_json(run)} for name, run in zip(names, runs, strict=True)])
        return
    for line in device_differences(runs, names):
        click.echo(line)
    echo_table(*device_rows(runs, names))


def _json(runs: list[Run], names: list[str]) -> dict[str, Any]:
    about = [
        {
            "name": name,
            "machine": to_json(run.machine),
            "unstable": list(run.unstable),
            **{field: getattr(run, field) for field in ("bundle", "network", "threads", "edgefeat")},
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
                "seconds": to_json(median(one.seconds)),
                **{field: getattr(one, field) for field in ("name", "peak_memory_bytes", "installed_bytes")},
            }
            for one in run.cold_starts
        ]
        for run in runs
    ]
    return {"runs": about, "unlike": differences(runs), "rows": rows, "cold_starts": cold}


def _figures(run: Run, result: Result | None, photos: str) -> dict[str, Any] | None:
    if result is None:
        return None
    seconds, factor = latency(result, photos), speedup(result, baseline(run), photos)
    return {
        "status": result.status,
        "seconds": to_json(seconds) if seconds else None,
        "times_as_fast": to_json(factor) if factor and result.status == "ok" else None,
    }
