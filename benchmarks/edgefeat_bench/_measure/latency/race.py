"""Time from photo to feature: workers started and checked, rounds timed, every complete round written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edgefeat import EdgefeatError
from edgefeat_bench._contenders.registry import TUNED_NAME, absence
from edgefeat_bench._contenders.worker_process import Sample, WorkerError
from edgefeat_bench._measure.latency.correctness import Verdict, verdict
from edgefeat_bench._measure.latency.rounds import Lane, check_round, timed_round
from edgefeat_bench._measure.latency.stability import unstable
from edgefeat_bench._measure.machine import busy_seconds, process_seconds
from edgefeat_bench._records import Contender, Result, Run, Series
from edgefeat_bench._setup.setup import Setup, references


@dataclass(slots=True)
class _Entry:
    """A contender in a `lane` with its `verdict`, or with the `result` that it already has."""

    contender: Contender
    lane: Lane | None = None
    verdict: Verdict | None = None
    result: Result | None = None


def race(setup: Setup, run: Run, path: Path, *, tell: Callable[[str], None], show: bool) -> Run:
    """Return `run` with the rounds that were missing, each written to `path` when it is complete.

    Raises EdgefeatError if an earlier part of the run was measured with other versions.
    """
    rounds, settings = setup.settings.extent.rounds, setup.settings
    tell("computing the reference features")
    expected = references(setup)
    run = replace(run, reference=expected.name)
    with ExitStack() as stack:
        entries = [_entered(setup, contender, run, stack, tell) for contender in setup.contenders]
        lanes = [entry.lane for entry in entries if entry.lane is not None]
        check_round(lanes, setup.photos, setup.warm, tell)
        for entry in entries:
            if entry.lane and not entry.lane.died:
                found, limit = entry.lane.features, settings.right_cosine
                entry.verdict = verdict(entry.contender, found, expected, setup.facts, right_cosine=limit)
        clock, earlier = _Clock([lane.worker.pid for lane in lanes]), run.unstable
        total = (rounds - run.rounds) * sum(len(one.files) for one in setup.photos)
        with tqdm(total=total, unit="photo", disable=not (show and sys.stderr.isatty())) as bar:
            for index in range(run.rounds, rounds):
                timed_round(lanes, setup.photos, warm=setup.warm, seed=run.seed, index=index, tell=bar.update)
                results, others = _results(setup, entries), clock.others(run.machine.cores)
                doubts = unstable(results, others, earlier=earlier)
                run = replace(run, rounds=index + 1, results=results, unstable=doubts)
                run.write(path)
        return replace(run, results=_results(setup, entries))


def _entered(setup: Setup, contender: Contender, run: Run, stack: ExitStack, tell: Callable[[str], None]) -> _Entry:
    """Return the contender with its worker started, or with the result that says why not."""
    before = next((one for one in run.results if one.contender == contender), None)
    away = absence(contender, setup.facts)
    if before is not None and before.status in ("absent", "died"):
        if before.remedy and away is None:
            tell(f"{contender.name} was absent when this run began: a new run, without --resume, measures it")
        return _Entry(contender, result=before)
    if away is None and contender.name == TUNED_NAME and setup.untuned:
        away = setup.untuned, ""
    if away is not None:
        return _Entry(contender, result=_without_series(contender, *away, before))
    tell(f"starting {contender.name}")
    try:
        worker = stack.enter_context(setup.worker(contender))
    except WorkerError as error:
        return _Entry(contender, result=replace(_without_series(contender, str(error), "", before), status="died"))
    if worker.absent is not None:
        return _Entry(contender, result=_without_series(contender, worker.absent, worker.remedy, before))
    lane = Lane(worker)
    if before is not None:
        if before.versions != worker.versions:
            old, new = (_versions(one) for one in (before.versions, worker.versions))
            raise EdgefeatError(
                f"{contender.name} was measured with {old}, now {new} is installed: start a new run, without --resume"
            )
        lane.samples = {one.photos: _samples(one) for one in before.series}
    return _Entry(contender, lane)


def _results(setup: Setup, entries: Sequence[_Entry]) -> tuple[Result, ...]:
    return tuple(entry.result or _result(setup, entry) for entry in entries)


def _result(setup: Setup, entry: _Entry) -> Result:
    assert entry.lane is not None
    worker, judged = entry.lane.worker, entry.verdict or Verdict(True)
    remarks = "; ".join(filter(None, (one_line(worker.remark), judged.remark)))
    return Result(
        contender=entry.contender,
        status="died" if entry.lane.died else "ok" if judged.right else "wrong",
        reason=one_line(entry.lane.died) or remarks,
        remedy="",
        versions=worker.versions,
        model_bytes=worker.model_bytes,
        minimum_cosine=judged.minimum_cosine,
        start_seconds=round(worker.start_seconds, 4),
        peak_memory_bytes=worker.peak or None,
        series=entry.lane.series(setup.photos),
    )


def _without_series(contender: Contender, reason: str, remedy: str, before: Result | None) -> Result:
    """Return the result of a contender that cannot start. Raises EdgefeatError if it did in earlier rounds."""
    if before is not None:
        raise EdgefeatError(
            f"{contender.name}, which has earlier rounds, cannot start now: {one_line(reason)}. They are kept: mend "
            "that and resume, with the same options, or start a new run, without --resume"
        )
    return Result(contender, "absent", one_line(reason), remedy, {}, None, None, None, None, ())


def one_line(text: str) -> str:
    """Return text without line breaks, control characters and parts that are no Unicode, as records require it."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "no version"


def _samples(series: Series) -> list[Sample]:
    """Return an earlier part of the run: only its times, as the features were checked then and are again now."""
    stages = [stage or (None,) * len(series.seconds) for stage in (series.decode, series.resize, series.inference)]
    nothing = np.zeros(0, np.float32)
    return [Sample(seconds, (d, r, i), nothing) for seconds, d, r, i in zip(series.seconds, *stages, strict=True)]


class _Clock:
    """How much of the machine other programs use while contenders run."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._seconds = dict.fromkeys(pids, 0.0)  # those of a process that has ended count on
        self._started, self._busy, self._own = time.monotonic(), busy_seconds(), self._used()

    def others(self, cores: int) -> float | None:
        """Return the share of all cores that other programs used; None in the first ten seconds."""
        elapsed = time.monotonic() - self._started
        if elapsed < 10:
            return None
        others = (busy_seconds() - self._busy) - (self._used() - self._own)
        return max(0.0, others / elapsed / cores)

    def _used(self) -> float:
        for pid, seconds in self._seconds.items():
            self._seconds[pid] = max(seconds, process_seconds(pid))
        return time.process_time() + sum(self._seconds.values())
