"""The processes of a run: frozen while others are timed, tuned apart, ended with the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="needs the bench extra")

import numpy as np
import psutil

import edgefeat
from edgefeat_bench._setup.tuning import is_tuned

BUNDLE = Path(__file__).parents[2] / "data" / "one_tap.edgefeat"


def test_frozen_contenders_take_no_time_from_the_one_whose_turn_it_is(tmp_path: Path) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("needs a system where processes can be stopped by a signal")
    from edgefeat_bench._contenders.interface import Task
    from edgefeat_bench._contenders.worker_process import Worker
    from edgefeat_bench._measure.machine import process_seconds
    from edgefeat_bench._records import Contender

    spinning = "import sys\nprint('{}', flush=True)\nwhile True: pass"
    task = Task(Contender("spinner", "command", "peer"), str(BUNDLE), str(tmp_path), 1)
    with Worker(task, command=[sys.executable, "-c", spinning]) as worker:
        worker.freeze()
        while psutil.Process(worker.pid).status() != psutil.STATUS_STOPPED:  # the system may take a moment
            time.sleep(0.01)
        before = process_seconds(worker.pid)
        time.sleep(0.5)
        assert process_seconds(worker.pid) == before


def test_making_a_model_file_is_no_part_of_a_start(tmp_path: Path) -> None:
    from edgefeat_bench._contenders.interface import Task
    from edgefeat_bench._contenders.worker_process import Worker
    from edgefeat_bench._records import Contender

    program = "import json, time\nbegun = time.perf_counter()\ntime.sleep(1)\n"
    program += "print(json.dumps({'making_seconds': time.perf_counter() - begun}), flush=True)"
    begun = time.perf_counter()
    with Worker(Task(Contender("c", "command", "peer"), "", "", 1), command=[sys.executable, "-c", program]) as worker:
        assert 0 < worker.start_seconds <= time.perf_counter() - begun - 1


def test_an_interrupted_tuning_is_done_again(tmp_path: Path) -> None:
    bundle = edgefeat.Bundle.open(BUNDLE)
    (tmp_path / "cut off").mkdir()
    assert not is_tuned(bundle, tmp_path / "cut off")
    assert not is_tuned(bundle, tmp_path / "none")


def test_a_tuning_cut_off_before_choices_of_more_threads_are_left_out_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgefeat_bench._processes import run_module
    from edgefeat_bench._setup import tuning

    bundle, folder = edgefeat.Bundle.open(BUNDLE), tmp_path / "cache"

    def cut_off(*arguments: str, environment: dict[str, str]) -> str:
        run_module(*arguments, environment=environment)
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "run_module", cut_off)
    with pytest.raises(KeyboardInterrupt):
        tuning.tune(bundle, folder, 1)
    assert not is_tuned(bundle, folder)
    monkeypatch.undo()
    tuning.tune(bundle, folder, 1)
    assert is_tuned(bundle, folder)
    chosen = tuning.tuned_alone(bundle, folder)
    assert chosen is not None
    assert (chosen.threads, chosen.status) == (1, "ok")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends the process only on Linux")
def test_a_contender_that_waits_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import time
from edgefeat_bench._contenders.interface import Task
from edgefeat_bench._contenders.worker_process import Worker
from edgefeat_bench._records import Contender
contender = Contender("ours", "edgefeat", "edgefeat", "tflite-float32", "litert")
worker = Worker(Task(contender, {str(BUNDLE)!r}, {str(tmp_path)!r}, 1))
worker.freeze()
print(worker.pid, worker.absent, flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            pid, absent = process.stdout.readline().split(maxsplit=1)
            assert absent.strip() == "None"
            worker = psutil.Process(int(pid))
        finally:
            process.kill()
    until = time.monotonic() + 60
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, worker.status()
        time.sleep(0.05)


def test_a_contender_is_warmed_up_twice_however_long_it_takes() -> None:
    from edgefeat_bench._contenders.interface import Answer, Opened
    from edgefeat_bench._contenders.worker import warm_up

    calls: list[object] = []

    def slow(picture: object) -> Answer:
        calls.append(picture)
        time.sleep(0.1)
        return Answer(np.zeros(1, np.float32))

    warm_up(Opened(slow, (), None), "photo.jpg")
    assert calls == ["photo.jpg", "photo.jpg"]


def test_what_a_contender_said_last_is_kept_at_its_end(tmp_path: Path) -> None:
    from edgefeat_bench._contenders.interface import Task
    from edgefeat_bench._contenders.worker_process import Worker, WorkerError
    from edgefeat_bench._records import Contender

    said = f"LoadError: {'/a/long/path' * 40}: no such operator"
    with pytest.raises(WorkerError, match=r"LoadError: .* \.\.\. .*: no such operator$"):
        Worker(Task(Contender("c", "command", "peer"), "", "", 1), command=[sys.executable, "-c", f"exit({said!r})"])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("kind", ["worker", "program"])
def test_an_interruption_of_the_run_alone_leaves_no_process_behind(kind: str, tmp_path: Path) -> None:
    # A Ctrl-C goes to all processes of a terminal; `kill -INT`, and what CI sends, to one.
    mark = f"mark-{kind}-{os.getpid()}"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(300)', {mark!r}])"
    code = {
        "worker": "from edgefeat_bench._contenders.interface import Task\n"
        "from edgefeat_bench._records import Contender\n"
        "from edgefeat_bench._contenders.worker_process import Worker\n"
        "Worker(Task(Contender('c', 'command', 'peer'), '', '', 1),"
        f" command=[sys.executable, '-c', 'import time; time.sleep(300)', {mark!r}])",
        "program": "from pathlib import Path\n"
        "from edgefeat_bench._measure.programs import Program, run_program\n"
        f"command = [sys.executable, '-c', {child!r}]\n"
        "run_program(Program('p', 'peer', (), lambda *_: command), '', Path(sys.argv[1]))",
    }[kind]
    process = subprocess.Popen([sys.executable, "-c", f"import sys\n{code}", str(tmp_path)], stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not _running(mark, process.pid):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    left = _running(mark, process.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def _running(mark: str, but: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if mark.encode() in words and int(path.parent.name) != but:
            found.append(int(path.parent.name))
    return found
