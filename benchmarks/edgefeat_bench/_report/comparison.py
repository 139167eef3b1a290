"""Runs side by side: nothing is merged, and differences are listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgefeat_bench._records import Machine, Result, Run
from edgefeat_bench._report.findings import status_of

_ASPECTS: dict[str, Callable[[Run], object]] = {
    "machine": lambda run: f"{run.machine.cores} cores of {run.machine.processor} ({run.machine.architecture})",
    "system": lambda run: run.machine.system,
    "governor": lambda run: run.machine.governor,
    "Python": lambda run: run.machine.python,
    "edgefeat": lambda run: run.edgefeat,
    "network": lambda run: run.network,
    "bundle": lambda run: f"{run.bundle} ({run.identity[:12]})",
    "threads": lambda run: run.threads,
    "photos": lambda run: ", ".join(photos.name for photos in run.photos),
    "files of photos": lambda run: ", ".join(dict.fromkeys(file for photos in run.photos for file in photos.files)),
    "method of measuring": lambda run: run.method,
}


def same_machine(one: Machine, other: Machine) -> bool:
    """Return whether both have the same processor and number of cores: only then can figures be compared."""
    return (one.processor, one.architecture, one.cores) == (other.processor, other.architecture, other.cores)


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return each aspect in which the runs differ, with the value of every run."""
    values = {name: [str(aspect(run)) for run in runs] for name, aspect in _ASPECTS.items()}
    return {name: each for name, each in values.items() if len(set(each)) > 1}


def side_by_side(runs: Sequence[Run]) -> list[tuple[str, str, list[Result | None]]]:
    """Return every kind of photos and every contender of any run, with each run's result or None."""
    photos = dict.fromkeys(one.name for run in runs for one in run.photos)
    names = dict.fromkeys(result.contender.name for run in runs for result in run.results)
    by_name = [{result.contender.name: result for result in run.results} for run in runs]
    return [(kind, name, [results.get(name) for results in by_name]) for kind in photos for name in names]


def unmeasured(run: Run) -> list[str]:
    """Return the contenders of a run that have no valid figure, each with its status."""
    return [f"{result.contender.name} ({status_of(result)})" for result in run.results if result.status != "ok"]
