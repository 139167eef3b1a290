"""The timed part of a run: workers started and checked, rounds taken, every complete round written down."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from edgefeat import EdgefeatError
from edgefeat_bench._contenders.kinds import TUNED, absence
from edgefeat_bench._contenders.worker_process import Sample, WorkerError
from edgefeat_bench._measure.latency.correctness import Verdict, verdict
from edgefeat_bench._measure.latency.rounds import Lane, check_round, timed_round
from edgefeat_bench._measure.latency.stability import unstable
from edgefeat_bench._measure.machine import busy_seconds, process_seconds
from edgefeat_bench._records import Contender, Result, Run, Series
from edgefeat_bench._setup.setup import References, Setup, references

__all__ = ["race"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A contender and what is known of it: in a `lane` with a `verdict`, or the `result` that it has already."""

    contender: Contender
    lane: Lane | None = None
    verdict: Verdict | None = None
    result: Result | None = None


def race(setup: Setup, run: Run, path: Path, *, tell: Callable[[str], None], show: bool) -> Run:
    """`run` with its rounds taken, as many as are still missing, each written to `path` when it is complete.

    Raises EdgefeatError where an earlier part of the run was made with other versions.
    """
    rounds = setup.settings.extent.rounds
    tell("computing the reference features")
    expected = references(setup)
    run = replace(run, reference=expected.name)
    with ExitStack() as stack:
        entries = [_entered(setup, contender, run, expected, stack, tell) for contender in setup.contenders]
        entries = _checked(setup, entries, expected, tell)
        lanes = [entry.lane for entry in entries if entry.lane is not None]
        pictures = sum(len(column.files) for column in setup.photos)
        clock = _Clock([lane.worker.pid for lane in lanes])
        earlier = run.unstable
        bar = tqdm(total=(rounds - run.rounds) * pictures, unit="photo", disable=not (show and sys.stderr.isatty()))
        with bar:
            for index in range(run.rounds, rounds):
                timed_round(lanes, setup.photos, warm=setup.warm, seed=run.seed, index=index, tell=bar.update)
                results, others = _results(setup, entries), clock.others(run.machine.cores)
                doubts = unstable(results, others, earlier=earlier)
                run = replace(run, rounds=index + 1, results=results, unstable=doubts)
                run.write(path)
        return replace(run, results=_results(setup, entries))


def _entered(
    setup: Setup, contender: Contender, run: Run, expected: References, stack: ExitStack, tell: Callable[[str], None]
) -> _Entry:
    """The contender with its worker started, or with the result that says why not."""
    before = next((one for one in run.results if one.contender == contender), None)
    if before is not None and before.status in ("absent", "died"):
        return _Entry(contender, result=before)
    away = absence(contender, setup.facts)
    if away is None and contender.name == TUNED and setup.untuned:
        away = setup.untuned, ""
    if away is not None:
        return _Entry(contender, result=_absent(contender, *away))
    tell(f"starting {contender.name}")
    try:
        worker = stack.enter_context(setup.worker(contender))
    except WorkerError as error:
        return _Entry(contender, result=replace(_absent(contender, str(error), ""), status="died"))
    if worker.absent is not None:
        return _Entry(contender, result=_absent(contender, worker.absent, worker.remedy))
    lane = Lane(worker)
    if before is not None:
        if before.versions != worker.versions:
            raise EdgefeatError(
                f"{contender.name} was measured with {_said(before.versions)}, here is {_said(worker.versions)}: "
                "start a new run, without --resume"
            )
        lane.samples = {one.photos: _samples(one) for one in before.series}
    return _Entry(contender, lane)


def _checked(
    setup: Setup, entries: Sequence[_Entry], expected: References, tell: Callable[[str], None]
) -> list[_Entry]:
    lanes = [entry.lane for entry in entries if entry.lane is not None]
    check_round(lanes, setup.photos, setup.warm, tell)
    found = []
    for entry in entries:
        if entry.lane is None or entry.lane.died:
            found.append(entry)
            continue
        said = verdict(
            entry.contender, entry.lane.features, expected, setup.facts, right_cosine=setup.settings.right_cosine
        )
        found.append(replace(entry, verdict=said))
    return found


def _results(setup: Setup, entries: Sequence[_Entry]) -> tuple[Result, ...]:
    return tuple(entry.result if entry.result is not None else _result(setup, entry) for entry in entries)


def _result(setup: Setup, entry: _Entry) -> Result:
    assert entry.lane is not None
    worker, said = entry.lane.worker, entry.verdict
    remarks = (_plain(worker.remark), said.remark if said else "")
    status = "died" if entry.lane.died else "ok" if said is None or said.right else "wrong"
    return Result(
        contender=entry.contender,
        status=status,  # type: ignore[arg-type]  # mypy takes the chain for a str
        reason=entry.lane.died or "; ".join(filter(None, remarks)),
        remedy="",
        versions=worker.versions,
        model_bytes=worker.model_bytes,
        minimum_cosine=said.minimum_cosine if said else None,
        start_seconds=round(worker.start_seconds, 4),
        peak_memory_bytes=worker.peak or None,
        series=entry.lane.series(setup.photos),
    )


def _absent(contender: Contender, reason: str, remedy: str) -> Result:
    return Result(contender, "absent", _plain(reason), remedy, {}, None, None, None, None, ())


def _plain(text: str) -> str:
    """One line without control characters, as records take it."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _said(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "no version"


def _samples(series: Series) -> list[Sample]:
    """What an earlier part of the run has: its times alone, the features were checked then and are again now."""
    import numpy as np

    nothing = np.zeros(0, np.float32)
    stages = [stage or (None,) * len(series.seconds) for stage in (series.decode, series.resize, series.inference)]
    return [
        Sample(seconds, (decode, resize, inference), nothing)
        for seconds, decode, resize, inference in zip(series.seconds, *stages, strict=True)
    ]


class _Clock:
    """How much of the machine others take while contenders run."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._started, self._busy, self._own = time.monotonic(), busy_seconds(), self._used()

    def others(self, cores: int) -> float | None:
        """The share of all cores that went to other programs; None after less than ten seconds."""
        elapsed = time.monotonic() - self._started
        if elapsed < 10:
            return None
        others = (busy_seconds() - self._busy) - (self._used() - self._own)
        return max(0.0, others / elapsed / cores)

    def _used(self) -> float:
        return time.process_time() + sum(process_seconds(pid) for pid in self._pids)
