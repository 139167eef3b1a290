"""Runs side by side: nothing is merged, and differences are listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgefeat_bench._records import Machine, Result, Run
from edgefeat_bench._report.findings import baseline, latency, speedup
from edgefeat_bench._report.numbers import interval, plain, times
from edgefeat_bench._report.tables import NOTHING, Row, Table, status_of
from edgefeat_bench._statistics import median

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


def latency_comparison(runs: Sequence[Run], names: Sequence[str]) -> Table:
    """Return milliseconds with interval, and the speed-up over each run's own TensorFlow."""
    rows = []
    for photos, contender, results in side_by_side(runs):
        cells = [cell for run, one in zip(runs, results, strict=True) for cell in _latency_cells(run, one, photos)]
        if any(cell[:1].isdigit() for cell in cells):
            rows.append(Row((photos, contender, *cells)))
    columns = [text for name in names for text in (f"{name} ms", "interval", "speed-up")]
    return Table("", ("photos", "contender", *columns), tuple(rows))


def _latency_cells(run: Run, result: Result | None, photos: str) -> tuple[str, str, str]:
    spread = latency(result, photos) if result else None
    if result is None or result.status != "ok" or spread is None:
        return status_of(result) if result and result.status != "ok" else NOTHING, NOTHING, NOTHING
    factor = speedup(result, baseline(run), photos)
    return plain(spread.median * 1e3), interval(spread, 1e3), times(factor.median) if factor else NOTHING


def cold_comparison(runs: Sequence[Run], names: Sequence[str]) -> Table:
    """Return the new processes of every run."""
    rows = []
    for kind in dict.fromkeys(one.name for run in runs for one in run.cold_starts):
        cells = [kind]
        for run in runs:
            found = next((one for one in run.cold_starts if one.name == kind), None)
            figures = (
                (median(found.seconds).median, found.peak_memory_bytes / 1e6, found.installed_bytes / 1e6)
                if found
                else ()
            )
            cells += [plain(figure) for figure in figures] or [NOTHING] * 3
        rows.append(Row(tuple(cells)))
    columns = [text for name in names for text in (f"{name} s", "memory MB", "installed MB")]
    return Table("", ("new process", *columns), tuple(rows))
