"""`edgefeat-bench gate`: ratios, intervals, and the row that fell."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="needs the bench extra")

from tests.benchmarks.report.plausible import FEW, KERAS, MANY, TUNED, plausible_run

from edgefeat import ArgumentError
from edgefeat_bench._records import Run
from edgefeat_bench._report.regression import Check, gate


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefeat_bench._commands.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def fallen(old: Run, new: Run, *, tolerance: float = 0.1, fidelity: float = 0.005) -> list[Check]:
    return [one for one in gate(old, new, tolerance=tolerance, fidelity=fidelity) if one.verdict == "fell"]


OLD = plausible_run(MANY)


def test_the_same_again_passes() -> None:
    assert fallen(OLD, plausible_run(MANY, seed=11)) == []


def test_a_machine_that_is_slower_for_all_has_lost_nothing() -> None:
    slow = plausible_run(MANY, seed=11)
    halved = tuple(
        replace(result, series=tuple(replace(one, seconds=tuple(2 * s for s in one.seconds)) for one in result.series))
        for result in slow.results
    )
    assert fallen(OLD, replace(slow, results=halved)) == []


def test_slower_edgefeat_falls_beyond_the_tolerance_only() -> None:
    slower = plausible_run(MANY, seed=11, slower=1.3)
    assert {one.measure for one in fallen(OLD, slower)} == {"speed"}
    assert len({(one.name, one.where) for one in fallen(OLD, slower)}) == 4 * 8
    assert fallen(OLD, slower, tolerance=0.35) == []


def test_a_drop_with_intervals_that_meet_is_noise() -> None:
    few_rounds = plausible_run(FEW, rounds=1)
    noisy = replace(
        few_rounds,
        results=tuple(
            replace(result, series=tuple(replace(one, seconds=_noisy(one.seconds)) for one in result.series))
            for result in few_rounds.results
        ),
    )
    held = gate(few_rounds, noisy, tolerance=0.0, fidelity=0.005)
    speeds = [one for one in held if one.measure == "speed"]
    assert speeds
    assert all(one.verdict == "kept" for one in speeds)


def test_what_was_measured_once_or_beside_other_packages_is_not_compared() -> None:
    once = tuple(replace(one, seconds=one.seconds[:1]) for one in OLD.bulk)
    slower = tuple(replace(one, seconds=tuple(3 * s for s in one.seconds)) for one in once if one.side == "edgefeat")
    others = tuple(one for one in once if one.side != "edgefeat")
    old = replace(OLD, bulk=once, isolated=False)
    new = replace(OLD, bulk=(*others, *slower))
    assert fallen(old, new) == []
    reasons = {
        one.measure: one.reason for one in gate(old, new, tolerance=0.1, fidelity=0.005) if one.verdict != "kept"
    }
    assert reasons["photos per second"] == "measured once"
    assert reasons["memory"] == "TensorFlow's process imported other packages in one of them"


def _noisy(samples: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sample * (1.6 if index % 2 else 0.7) for index, sample in enumerate(samples))


@pytest.mark.parametrize(
    ("change", "measure"),
    [
        ({"seconds": (0.36,) * 7}, "cold start"),
        ({"peak_memory_bytes": 90_000_000}, "cold start's memory"),
        ({"installed_bytes": 400_000_000}, "installed size"),
    ],
)
def test_cold_start_memory_and_installed_size_are_held(change: dict[str, object], measure: str) -> None:
    *others, ours = OLD.cold_starts
    new = replace(OLD, cold_starts=(*others, replace(ours, **change)))  # type: ignore[arg-type]
    (one,) = fallen(OLD, new)
    assert (one.measure, one.name) == (measure, "edgefeat extract")


def test_memory_while_serving_pictures_a_second_and_fidelity_are_held() -> None:
    fat = plausible_run((KERAS, replace(TUNED, memory=120e6)))
    assert [(one.measure, one.name) for one in fallen(plausible_run(FEW), fat)] == [("memory", "edgefeat tuned")]
    theirs, ours = OLD.bulk
    slow = replace(OLD, bulk=(theirs, replace(ours, seconds=tuple(2 * one for one in ours.seconds))))
    assert [one.measure for one in fallen(OLD, slow)] == ["photos per second"]
    worse = tuple(replace(one, nearest_accuracy=0.69) if one.side == "edgefeat" else one for one in OLD.quality)
    assert {one.measure for one in fallen(OLD, replace(OLD, quality=worse))} == {"nearest accuracy"}
    assert fallen(OLD, replace(OLD, quality=worse), fidelity=0.03) == []


def test_a_contender_that_turned_wrong_or_died_fell_and_one_not_run_is_told() -> None:
    broken = plausible_run((KERAS, replace(TUNED, status="wrong", cosine=0.4)))
    (one,) = fallen(plausible_run(FEW, extras=False), broken)
    assert (one.measure, one.name) == ("right features", "edgefeat tuned")
    held = gate(OLD, plausible_run(FEW), tolerance=0.1, fidelity=0.005)
    assert {one.name for one in held if one.verdict == "not compared"} == {
        plan.name for plan in MANY if plan.side == "edgefeat" and plan.status == "ok" and plan is not TUNED
    }


def test_without_tensorflow_a_peer_is_the_measure() -> None:
    peers = tuple(plan for plan in MANY if plan.side != "tensorflow")
    old = plausible_run(peers, extras=False)
    assert fallen(old, plausible_run(peers, extras=False, seed=3)) == []
    assert {one.measure for one in fallen(old, plausible_run(peers, extras=False, seed=3, slower=1.5))} == {"speed"}


def test_what_cannot_be_held_against_each_other_is_refused() -> None:
    other = plausible_run(MANY, processor="Raspberry Pi 5 Model B")
    with pytest.raises(ArgumentError, match="--unlike-machines"):
        gate(OLD, other, tolerance=0.1, fidelity=0.005)
    assert gate(OLD, other, tolerance=0.1, fidelity=0.005, unlike_machines=True)
    with pytest.raises(ArgumentError, match="different runs"):
        gate(OLD, plausible_run(MANY, threads=1), tolerance=0.1, fidelity=0.005)
    with pytest.raises(ArgumentError, match="ratios need TensorFlow or a peer"):
        gate(OLD, plausible_run((TUNED,)), tolerance=0.1, fidelity=0.005)


def test_the_command_exits_1_with_the_row_and_0_without(tmp_path: Path) -> None:
    old, again, slow = (tmp_path / f"{name}.json" for name in ("old", "again", "slow"))
    plausible_run(FEW).write(old)
    plausible_run(FEW, seed=2).write(again)
    plausible_run(FEW, seed=2, slower=1.5).write(slow)
    passed = bench("gate", old, again)
    assert (passed.returncode, passed.stdout.startswith("None of ")) == (0, True), passed.stderr
    failed = bench("gate", old, slow)
    assert failed.returncode == 1
    assert "FELL  speed    edgefeat tuned" in failed.stdout
    told = json.loads(bench("gate", "--json", old, slow).stdout)
    assert told["fell"] == 4
    assert {row["where"] for row in told["rows"] if row["verdict"] == "fell"} == {photos.name for photos in OLD.photos}
    assert bench("gate", old, slow, "--tolerance", "0.5").returncode == 0
    assert bench("gate", old, slow, "--tolerance", "1.5").returncode == 2
    assert bench("gate", old, tmp_path / "absent.json").returncode == 2


def test_runs_measured_otherwise_are_refused() -> None:
    with pytest.raises(ArgumentError, match="methods 1 and 2: other projects are run differently"):
        gate(replace(OLD, method=1), replace(OLD, method=2), tolerance=0.1, fidelity=0.01)


def test_times_of_other_photos_are_not_compared() -> None:
    first, *rest = OLD.photos
    other = replace(OLD, photos=(replace(first, files=tuple(f"other-{name}" for name in first.files)), *rest))
    checks = gate(OLD, other, tolerance=0.1, fidelity=0.01)
    verdicts = {(one.where == first.name, one.verdict) for one in checks if one.measure == "speed"}
    assert verdicts == {(True, "not compared"), (False, "kept")}
    assert {one.reason for one in checks if one.where == first.name} == {"other photos"}
