"""Runs beside each other: nothing is merged, what is unlike is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgefeat_bench._records import Machine, Result, Run
from edgefeat_bench._report.findings import baseline, latency, times_as_fast
from edgefeat_bench._report.numbers import interval, plain, times
from edgefeat_bench._statistics import Estimate, median

__all__ = ["beside", "cold_beside", "like", "side_by_side", "unlike", "untimed"]

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
}


def like(one: Machine, other: Machine) -> bool:
    """Whether figures of the two may be held against each other: same processor, same number of its cores."""
    return (one.processor, one.architecture, one.cores) == (other.processor, other.architecture, other.cores)


def unlike(runs: Sequence[Run]) -> dict[str, list[str]]:
    """What differs between the runs: each aspect with every run's own."""
    told = {name: [str(aspect(run)) for run in runs] for name, aspect in _ASPECTS.items()}
    return {name: values for name, values in told.items() if len(set(values)) > 1}


def side_by_side(runs: Sequence[Run]) -> list[tuple[str, str, list[Result | None]]]:
    """Every kind of photos and contender that any run has, with each run's result or None."""
    photos = dict.fromkeys(one.name for run in runs for one in run.photos)
    names = dict.fromkeys(result.contender.name for run in runs for result in run.results)
    by_name = [{result.contender.name: result for result in run.results} for run in runs]
    return [(kind, name, [results.get(name) for results in by_name]) for kind in photos for name in names]


def beside(runs: Sequence[Run], names: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows for people: milliseconds with interval, and times as fast as each run's own TensorFlow."""
    header = ("photos", "contender", *(text for name in names for text in (f"{name} ms", "interval", "times as fast")))
    rows = []
    for kind, name, results in side_by_side(runs):
        cells = [cell for run, result in zip(runs, results, strict=True) for cell in _cells(run, result, kind)]
        if any(cell[:1].isdigit() for cell in cells):
            rows.append((kind, name, *cells))
    return header, rows


def untimed(run: Run) -> list[str]:
    """The contenders of a run that have no figure, each with why: wrong, absent or died."""
    return [f"{result.contender.name} ({result.status})" for result in run.results if result.status != "ok"]


def _cells(run: Run, result: Result | None, photos: str) -> tuple[str, str, str]:
    if result is None:
        return "-", "-", "-"
    if result.status != "ok":
        return result.status, "-", "-"
    spread, fast = latency(result, photos), times_as_fast(result, baseline(run), photos)
    return _plain(spread, 1e3), interval(spread, 1e3) if spread else "-", times(fast.median) if fast else "-"


def _plain(spread: Estimate | None, scale: float = 1.0) -> str:
    return plain(spread.median * scale) if spread else "-"


def cold_beside(runs: Sequence[Run], names: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of the fresh processes."""
    header = ("fresh process", *(text for name in names for text in (f"{name} s", "memory MB", "installed MB")))
    rows = []
    for kind in dict.fromkeys(one.name for run in runs for one in run.cold_starts):
        cells = []
        for run in runs:
            found = next((one for one in run.cold_starts if one.name == kind), None)
            cells += (
                [
                    _plain(median(found.seconds)),
                    plain(found.peak_memory_bytes / 1e6),
                    plain(found.installed_bytes / 1e6),
                ]
                if found
                else ["-", "-", "-"]
            )
        rows.append((kind, *cells))
    return header, rows
