"""Runs side by side: nothing is merged, and differences are listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from edgefeat_bench._records import Machine, Result, Run
from edgefeat_bench._report.findings import best_peer, ours, speedup, status_of, with_large_photos
from edgefeat_bench._report.numbers import standing

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


def against_fastest_peers(runs: Sequence[Run]) -> dict[str, Counter[str]]:
    """Return how often edgefeat is `faster` than, `level` with, or `slower` than the fastest peer.

    A case is one kind of photos of one run; each is counted by the peer and the photos.
    """
    found: dict[str, Counter[str]] = {"faster": Counter(), "level": Counter(), "slower": Counter()}
    for run in map(with_large_photos, runs):
        mine = ours(run)
        for photos in run.photos:
            peer = best_peer(run, photos.name)
            if mine and peer and (factor := speedup(mine, peer, photos.name)):
                found[standing(factor)][f"{peer.contender.name} on {photos.name}"] += 1
    return found


def unmeasured(run: Run) -> list[str]:
    """Return the contenders of a run that have no valid figure, each with its status."""
    return [f"{result.contender.name} ({status_of(result)})" for result in run.results if result.status != "ok"]
