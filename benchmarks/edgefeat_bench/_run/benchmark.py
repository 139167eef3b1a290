"""A whole run: contenders timed in turn, then each further measure; written to a file as it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import edgefeat
from edgefeat_bench._measure.bulk import bulk
from edgefeat_bench._measure.cold_start import cold_starts
from edgefeat_bench._measure.costs import AXES
from edgefeat_bench._measure.latency.race import one_line, race
from edgefeat_bench._measure.machine import conditions, this_machine
from edgefeat_bench._measure.peak import peaks
from edgefeat_bench._measure.quality import quality
from edgefeat_bench._records import FORMAT, METHOD, Conditions, Run
from edgefeat_bench._run.resumption import resumed
from edgefeat_bench._setup.settings import Settings
from edgefeat_bench._setup.setup import Setup, set_up


def result_path(settings: Settings, bundle: edgefeat.Bundle) -> Path:
    """Return the file of a run: one for each bundle and number of threads."""
    return settings.output / f"{bundle.manifest.name}-{settings.threads}t.json"


def run(settings: Settings, *, command: str, tell: Callable[[str], None], show: bool = False) -> Run:
    """Measure all that `settings` ask for, and write it to `result_path` after every step.

    Raises BundleError, ArgumentError, MissingExtraError before anything is measured, EdgefeatError if the reference
    cannot run.
    """
    settings.output.mkdir(parents=True, exist_ok=True)
    before = conditions()  # what follows keeps all cores busy
    setup = set_up(settings, tell)
    path = result_path(settings, setup.bundle)
    measured = fresh = _fresh(setup, command, before)
    if settings.resume:
        measured = resumed(path, fresh, setup.contenders, settings.extent.rounds)
    elif path.exists():
        tell(f"the earlier result is kept as {_kept(path)}")
    found = measured
    if measured.rounds < settings.extent.rounds:
        measured = race(setup, replace(measured, after=None), path, tell=tell, show=show)
        measured.write(path)
    files = [one.files[0] for one in setup.photos if not one.arrays]
    if settings.cold and not measured.cold_starts and files and sys.platform != "win32":
        measured = replace(measured, cold_starts=cold_starts(setup, files[0], tell))
        measured.write(path)
    if settings.bulk and not measured.bulk:
        measured = replace(measured, bulk=bulk(setup, tell))
        measured.write(path)
    if settings.labelled is not None and not measured.quality:
        measured = replace(measured, quality=quality(setup, measured, tell))
        measured.write(path)
    if settings.peaks and not measured.peaks:
        measured = replace(measured, peaks=peaks(setup, tell))
        measured.write(path)
    for axis, measure in AXES.items():
        if axis in settings.costs and not any(one.axis == axis for one in measured.costs):
            measured = replace(measured, costs=(*measured.costs, *measure(setup, tell)))
            measured.write(path)
    if measured is found:
        tell(f"nothing was left to measure: {path} is of {found.date}")
        return found
    measured = replace(measured, after=conditions())
    measured.write(path)
    return measured


def _kept(path: Path) -> Path:
    """Move an earlier result, perhaps of hours, to where no later one replaces it, and return its new path."""
    folder = path.parent / "earlier"
    folder.mkdir(exist_ok=True)
    name = f"{path.stem}-{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y%m%dT%H%M%S}"
    return path.rename(folder / f"{name}.json")


def _fresh(setup: Setup, command: str, before: Conditions) -> Run:
    """Return the run with nothing measured yet."""
    backbone, form = setup.bundle.manifest.backbone, setup.bundle.manifest.picture
    words = [backbone.name, *(f"{name} {value}" for name, value in backbone.options.items())]
    return Run(
        format=FORMAT,
        edgefeat=edgefeat.__version__,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=this_machine(),
        before=before,
        after=None,
        bundle=setup.bundle.manifest.name,
        identity=setup.bundle.identity,
        network=f"{', '.join(words)}, {form.height}x{form.width}, weights {backbone.weights}",
        threads=setup.settings.threads,
        seed=setup.settings.seed,
        command=command,
        photos=tuple(
            replace(one, files=tuple(one_line(Path(file).name) for file in one.files)) for one in setup.photos
        ),
        rounds=0,
        reference="",
        right_cosine=setup.settings.right_cosine,
        results=(),
        isolated=True,
        method=METHOD,
    )
