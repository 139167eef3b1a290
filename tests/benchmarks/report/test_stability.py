"""A run is unstable if the machine was; one project whose own times vary is named, and condemns no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

pytest.importorskip("scipy", reason="needs the bench extra")

from tests.benchmarks.report.plausible import FEW, MANY, plausible_run

from edgefeat_bench._measure.latency.stability import unstable, unsteady_alone
from edgefeat_bench._records import Result, Run
from edgefeat_bench._report.documents import page

_RUN = plausible_run(MANY, rounds=10)


def _drifting(run: Run, chosen: Callable[[Result], bool]) -> Run:
    """Return the run with the later half of the chosen contenders' times doubled."""

    def slowed(seconds: tuple[float, ...]) -> tuple[float, ...]:
        half = len(seconds) // 2
        return *seconds[:half], *(2 * one for one in seconds[half:])

    results = (
        replace(one, series=tuple(replace(each, seconds=slowed(each.seconds)) for each in one.series))
        if chosen(one)
        else one
        for one in run.results
    )
    return replace(run, results=tuple(results))


def _is_a_peer(result: Result) -> bool:
    return result.contender.side == "peer"


def test_a_steady_run_has_no_reason() -> None:
    assert unstable(_RUN.results, 0.02) == ()
    assert unsteady_alone(_RUN.results) == []


def test_other_programs_are_a_reason_and_stay_one() -> None:
    (reason,) = unstable(_RUN.results, 0.4)
    assert "other programs used 40%" in reason
    assert unstable(_RUN.results, 0.02, earlier=(reason,)) == (reason,)


_PEER = next(plan.kind for plan in MANY if plan.side == "peer")


@pytest.mark.parametrize(
    "kinds",
    [(_PEER,), ("keras-predict",), ("keras-predict", "keras-call")],
    ids=["a peer", "what speed-ups are relative to", "two of TensorFlow"],
)
def test_one_project_that_varies_alone_is_named_and_the_run_can_be_quoted(kinds: tuple[str, ...]) -> None:
    run = _drifting(_RUN, lambda one: one.contender.kind in kinds)
    names = [one.contender.name for one in _RUN.results if one.contender.kind in kinds]
    assert unstable(run.results, 0.02) == ()
    assert unsteady_alone(run.results) == [f"{name} on {photos.name}" for name in names for photos in run.photos]
    text = page([run])
    assert f"The times of {names[0]} on {run.photos[0].name}" in text
    # The headline is of `predict`: where that varies, it says so and gives the whole range.
    assert ("than keras predict, whose times vary." in text) == ("keras-predict" in kinds)
    # Other programs are a reason all the same.
    assert len(unstable(run.results, 0.4)) == 1


@pytest.mark.parametrize(
    "chosen",
    [
        lambda _: True,
        _is_a_peer,
        lambda one: one.contender.kind == "edgefeat-tuned",
        lambda one: one.contender.kind in ("keras-predict", _PEER),
    ],
    ids=["all", "several peers", "edgefeat", "two projects"],
)
def test_what_the_machine_may_have_done_is_a_reason(chosen: Callable[[Result], bool]) -> None:
    run = _drifting(_RUN, chosen)
    drift, *_ = unstable(run.results, 0.02)
    assert "the first and the second half of the run differ by more than 15%" in drift
    assert unsteady_alone(run.results) == []


def test_among_few_contenders_one_that_varies_may_be_the_machine() -> None:
    peer = next(plan for plan in MANY if plan.side == "peer")
    run = _drifting(plausible_run((*FEW, peer), rounds=10), _is_a_peer)
    assert unstable(run.results, 0.02)


def test_two_programs_of_the_users_are_two_projects() -> None:
    results = tuple(
        replace(one, contender=replace(one.contender, kind="command")) if _is_a_peer(one) else one
        for one in _RUN.results
    )
    names = [one.contender.name for one in results if _is_a_peer(one) and one.series]
    run = replace(_RUN, results=results)
    assert unstable(_drifting(run, lambda one: one.contender.name == names[0]).results, 0.02) == ()
    assert unstable(_drifting(run, lambda one: one.contender.name in names[:2]).results, 0.02)
