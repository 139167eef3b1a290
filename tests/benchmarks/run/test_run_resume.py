"""A run that is interrupted ends its contenders, keeps its rounds, and is resumed only where it is the same run."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="needs the bench extra")

from tests.benchmarks.run.runs import BUNDLE, INTERRUPTED, OURS, QUICK, bench, measured, running

from edgefeat_bench._records import METHOD, Run


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals are those of Linux and macOS")
def test_a_run_that_is_told_to_end_ends_its_frozen_contenders(photos: Path, tmp_path: Path) -> None:
    import psutil

    more: list[str | Path] = ["--rounds", "100000", "--threads", "1", "-o", tmp_path]
    with running("run", BUNDLE, photos, *QUICK, *OURS, *more) as process:
        until = time.monotonic() + 400
        while not (tmp_path / "tiny_last_32-1t.json").exists():
            assert process.poll() is None
            assert time.monotonic() < until, "no round was written"
            time.sleep(0.2)
        children = psutil.Process(process.pid).children()  # from Python 3.14 on, one more keeps track of resources
        workers = [one for one in children if "edgefeat_bench._contenders.worker" in one.cmdline()]
        assert len(workers) == 2
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode in INTERRUPTED, said
    assert "--resume" in said
    assert not any(worker.is_running() for worker in workers)


def test_an_interrupted_run_keeps_its_rounds_and_is_gone_on_with(photos: Path, tmp_path: Path) -> None:
    quick = [*QUICK, *OURS]
    path = tmp_path / "tiny_last_32-1t.json"
    with running("run", BUNDLE, photos, *quick, "--rounds", "100000", "--threads", "1", "-o", tmp_path) as process:
        until = time.monotonic() + 400
        while not (path.exists() and Run.read(path).rounds >= 2):
            assert time.monotonic() < until, "no round was written"
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode in INTERRUPTED, said
    assert "--resume" in said
    before = Run.read(path)
    assert before.after is None
    assert {len(series.seconds) for one in before.results for series in one.series} == {2 * before.rounds}
    copied = Path(shutil.copytree(photos, tmp_path / "copied", copy_function=shutil.copy))  # with times of their own
    after = measured(tmp_path, copied, *quick, "--rounds", str(before.rounds + 1), "--resume")
    assert after.rounds == before.rounds + 1
    assert f"--rounds {after.rounds} " in after.command  # the command that completed it, not the interrupted one
    assert after.after is not None
    for old, new in zip(before.results, after.results, strict=True):
        for one, other in zip(old.series, new.series, strict=True):
            assert other.seconds[: len(one.seconds)] == one.seconds
            assert len(other.seconds) == 2 * after.rounds
    refused = bench("run", BUNDLE, photos, *quick, "--threads", "1", "-o", tmp_path, "--resume", "--seed", "7")
    assert refused.returncode == 2
    assert "another seed" in refused.stderr
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS[:2], "--threads", "1", "-o", tmp_path, "--resume")
    assert refused.returncode == 2
    assert "another choice of contenders" in refused.stderr
    fewer: list[str | Path] = ["--threads", "1", "--rounds", "1", "-o", tmp_path, "--resume"]
    refused = bench("run", BUNDLE, photos, *quick, *fewer)
    assert refused.returncode == 2
    assert f"resume it with --rounds {after.rounds}" in refused.stderr
    assert Run.read(path) == after


def test_a_contender_that_cannot_start_again_loses_no_earlier_round(photos: Path, tmp_path: Path) -> None:
    measured(tmp_path, photos, *QUICK, *OURS)
    path = tmp_path / "tiny_last_32-1t.json"
    before = path.read_bytes()
    hidden = tmp_path / "hidden" / "onnxruntime"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('libonnxruntime.so: cannot open shared object file')")
    more: list[str | Path] = ["--threads", "1", "-o", tmp_path, "--resume", "--rounds", "3"]
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS, *more, path=hidden.parent)
    assert refused.returncode == 1
    assert "edgefeat onnx-float32 onnxruntime, which has earlier rounds, cannot start now" in refused.stderr
    assert path.read_bytes() == before


def test_a_complete_run_is_not_told_anew(photos: Path, tmp_path: Path) -> None:
    measured(tmp_path, photos, *QUICK, *OURS)
    path = tmp_path / "tiny_last_32-1t.json"
    before = path.read_bytes()
    done = bench("run", BUNDLE, photos, *QUICK, *OURS, "--threads", "1", "-o", tmp_path, "--resume", "--json")
    assert done.returncode == 0
    assert f"nothing was left to measure: {path} is of " in done.stderr
    assert path.read_bytes() == before


def test_a_new_run_keeps_the_earlier_one(photos: Path, tmp_path: Path) -> None:
    before = measured(tmp_path, photos, *QUICK, *OURS)
    after = measured(tmp_path, photos, *QUICK, *OURS[:2])
    (kept,) = (tmp_path / "earlier").iterdir()
    assert Run.read(kept) == before
    assert len(after.results) < len(before.results)


def test_that_others_took_the_machine_is_not_forgotten_when_a_run_is_gone_on_with(photos: Path, tmp_path: Path) -> None:
    measured(tmp_path, photos, *QUICK, *OURS)
    path = tmp_path / "tiny_last_32-1t.json"
    said = "other programs used 84% of the cores during the run: stop them and repeat the run"
    path.write_text(json.dumps({**json.loads(path.read_text()), "unstable": [said]}))
    assert said in measured(tmp_path, photos, *QUICK, *OURS, "--resume", "--rounds", "3").unstable


def test_a_run_of_another_version_is_not_gone_on_with(photos: Path, tmp_path: Path) -> None:
    measured(tmp_path, photos, *QUICK, *OURS)
    path = tmp_path / "tiny_last_32-1t.json"
    told = json.loads(path.read_text())
    told["results"][0]["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(told))
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS, "--threads", "1", "-o", tmp_path, "--resume", "--rounds", "3")
    assert refused.returncode == 1
    assert "numpy 1.0" in refused.stderr
    path.write_text(json.dumps({**told, "format": 99}))
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS, "--threads", "1", "-o", tmp_path, "--resume")
    assert refused.returncode == 2
    assert "99" in refused.stderr


def test_a_run_measured_otherwise_is_not_gone_on_with(photos: Path, tmp_path: Path) -> None:
    measured(tmp_path, photos, *QUICK, *OURS)
    path = tmp_path / "tiny_last_32-1t.json"
    now = json.loads(path.read_text())
    assert now["method"] == METHOD
    path.write_text(json.dumps({name: value for name, value in now.items() if name != "method"}))
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS, "--threads", "1", "-o", tmp_path, "--resume")
    assert refused.returncode == 2
    assert "another method of measuring" in refused.stderr
    path.write_text(json.dumps(now))
    strict: list[str | Path] = ["--threads", "1", "-o", tmp_path, "--resume", "--right-cosine", "0.99"]
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS, *strict)
    assert refused.returncode == 2
    assert "another limit for right features" in refused.stderr


def test_a_contender_installed_during_a_run_is_told_how_it_gets_in(photos: Path, tmp_path: Path) -> None:
    measured(tmp_path, photos, *QUICK, *OURS)
    path = tmp_path / "tiny_last_32-1t.json"
    before = json.loads(path.read_text())
    last = before["results"][-1]
    last |= {"status": "absent", "reason": "engine onnxruntime not installed", "remedy": "pip install onnxruntime"}
    last |= {"versions": {}, "series": []}
    path.write_text(json.dumps(before))
    done = bench("run", BUNDLE, photos, *QUICK, *OURS, "--threads", "1", "-o", tmp_path, "--resume", "--rounds", "3")
    assert done.returncode == 0, done.stderr
    assert "edgefeat onnx-float32 onnxruntime was absent when this run began: a new run, without" in done.stderr
    assert [one.status for one in Run.read(path).results] == ["ok", "absent"]


def test_a_curve_is_added_to_a_run_without_timing_its_photos_again(photos: Path, tmp_path: Path) -> None:
    before = measured(tmp_path, photos, *QUICK, *OURS)
    assert before.costs == ()
    after = measured(tmp_path, photos, *QUICK, *OURS, "--costs", "threads", "--resume")
    assert after.results == before.results
    assert {one.axis for one in after.costs} == {"threads"}
    assert {one.name for one in after.costs} == {one.contender.name for one in after.results if one.status == "ok"}
    assert all(point.seconds for one in after.costs for point in one.points)
