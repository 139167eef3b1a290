"""A whole run: contenders timed in turn, then what is measured apart; written down as it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import edgefeat
from edgefeat_bench._measure.bulk import bulk
from edgefeat_bench._measure.cold_start import cold_starts
from edgefeat_bench._measure.costs import AXES
from edgefeat_bench._measure.latency.race import race
from edgefeat_bench._measure.machine import conditions, this_machine
from edgefeat_bench._measure.peak import peaks
from edgefeat_bench._measure.quality import quality
from edgefeat_bench._records import FORMAT, Photos, Run
from edgefeat_bench._run.resumption import resumed
from edgefeat_bench._setup.settings import Settings
from edgefeat_bench._setup.setup import Setup, set_up

__all__ = ["result_path", "run"]


def result_path(settings: Settings, bundle: edgefeat.Bundle) -> Path:
    """The file of a run: one for each bundle and number of threads."""
    return settings.output / f"{bundle.manifest.name}-{settings.threads}t.json"


def run(settings: Settings, *, command: str, tell: Callable[[str], None], show: bool = False) -> Run:
    """All that `settings` ask for, also in the file `result_path`, where it is kept as it comes about.

    Raises BundleError, ArgumentError, MissingExtraError before anything is measured, EdgefeatError where the reference
    cannot be had.
    """
    settings.output.mkdir(parents=True, exist_ok=True)
    setup = set_up(settings, tell)
    path = result_path(settings, setup.bundle)
    fresh = _fresh(setup, command)
    measured = resumed(path, fresh, setup.contenders) if settings.resume else fresh
    measured = race(setup, replace(measured, after=None), path, tell=tell, show=show)
    measured.write(path)
    for part in _PARTS:
        measured = part(setup, measured, tell)
        measured.write(path)
    measured = replace(measured, after=conditions())
    measured.write(path)
    return measured


def _cold(setup: Setup, run: Run, tell: Callable[[str], None]) -> Run:
    files = [one for one in setup.photos if not one.arrays]
    if run.cold_starts or not setup.settings.cold or not files or sys.platform == "win32":
        return run
    return replace(run, cold_starts=cold_starts(setup, files[0].files[0], tell))


def _bulk(setup: Setup, run: Run, tell: Callable[[str], None]) -> Run:
    if run.bulk or not setup.settings.bulk:
        return run
    return replace(run, bulk=bulk(setup, tell))


def _quality(setup: Setup, run: Run, tell: Callable[[str], None]) -> Run:
    if run.quality or setup.settings.labelled is None:
        return run
    return replace(run, quality=quality(setup, run, tell))


def _cost(axis: str, setup: Setup, run: Run, tell: Callable[[str], None]) -> Run:
    if any(one.axis == axis for one in run.costs) or not setup.settings.costs:
        return run
    return replace(run, costs=(*run.costs, *AXES[axis](setup, tell)))


def _peaks(setup: Setup, run: Run, tell: Callable[[str], None]) -> Run:
    if run.peaks or not setup.settings.peaks:
        return run
    return replace(run, peaks=peaks(setup, tell))


#: What is measured apart from the race, each unless an earlier part of the run has it.
_PARTS: tuple[Callable[[Setup, Run, Callable[[str], None]], Run], ...] = (
    *(_cold, _bulk, _quality, _peaks),
    *(partial(_cost, axis) for axis in AXES),
)


def _fresh(setup: Setup, command: str) -> Run:
    """The run with nothing measured yet."""
    backbone, form = setup.bundle.manifest.backbone, setup.bundle.manifest.picture
    words = [backbone.name, *(f"{name} {value}" for name, value in backbone.options.items())]
    return Run(
        format=FORMAT,
        edgefeat=edgefeat.__version__,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=this_machine(),
        before=conditions(),
        after=None,
        bundle=setup.bundle.manifest.name,
        identity=setup.bundle.identity,
        network=f"{', '.join(words)}, {form.height}x{form.width}, weights {backbone.weights}",
        threads=setup.settings.threads,
        seed=setup.settings.seed,
        command=command,
        photos=tuple(replace(one, files=_names(one)) for one in setup.photos),
        rounds=0,
        reference="",
        right_cosine=setup.settings.right_cosine,
        results=(),
    )


def _names(photos: Photos) -> tuple[str, ...]:
    return tuple(Path(file).name for file in photos.files)
