"""Worker processes: the results of steps, and the effect of a step or process that fails."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs the export extra")

from edgefeat import ArgumentError, ExportError
from edgefeat._bundle.gate import parse_gate
from edgefeat_export._images.calibration import check_source
from edgefeat_export._pipeline.steps import Step
from edgefeat_export._pipeline.worker_pool import StepCost, Workers

ADD = Step("addition", operator.add)
PROCESS = Step("process", os.getpid)


def ignore(_: str) -> None:
    """Ignore the name of the step."""


def test_steps_run_in_one_process_that_is_not_this_one_and_their_costs_are_reported(tmp_path: Path) -> None:
    costs: list[StepCost] = []
    began: list[str] = []
    with Workers(tmp_path, began=began.append, ended=costs.append) as workers:
        workers.warm(tensorflow=False)
        assert workers.run(ADD, 2, 3) == 5
        processes = {workers.run(PROCESS), workers.run(PROCESS)}
        assert len(processes) == 1
        assert processes != {os.getpid()}
    assert began == ["addition", "process", "process"]
    assert [cost.step for cost in costs] == began
    assert all(cost.seconds >= 0 for cost in costs)
    if Path("/proc/self/status").exists():
        assert all(10_000_000 < cost.peak_bytes < 2_000_000_000 for cost in costs)


def test_a_step_that_raises_an_error_of_edgefeats_raises_it_here_and_its_process_continues(tmp_path: Path) -> None:
    with Workers(tmp_path, began=ignore) as workers:
        process = workers.run(PROCESS)
        with pytest.raises(ArgumentError, match="calibration '/nowhere' is not a folder"):
            workers.run(Step("check", check_source), "/nowhere", "calibration")
        with pytest.raises(ArgumentError, match="2"):
            workers.run(Step("gate", parse_gate), "2")
        assert workers.run(PROCESS) == process


def test_a_step_that_fails_in_any_other_way_is_reported_in_one_line(tmp_path: Path) -> None:
    with Workers(tmp_path, began=ignore) as workers:
        process = workers.run(PROCESS)
        with pytest.raises(ExportError, match=r"^step number failed: ValueError: invalid literal for int.*'x'$"):
            workers.run(Step("number", int), "x")
        assert workers.run(PROCESS) != process


def test_a_step_that_ends_its_process_is_reported_with_the_signal_or_exit_status(tmp_path: Path) -> None:
    with Workers(tmp_path, began=ignore) as workers:
        with pytest.raises(ExportError, match=r"^step abort was killed by SIGABRT$"):
            workers.run(Step("abort", os.abort))
        with pytest.raises(ExportError, match=r"^step exit failed: exit status 3$"):
            workers.run(Step("exit", os._exit), 3)


def test_a_process_that_is_killed_costs_the_step_that_it_ran(tmp_path: Path) -> None:
    with Workers(tmp_path, began=ignore) as workers:
        process = workers.run(PROCESS)
        log = tmp_path / "rest.log"

        def kill() -> None:
            while not log.exists():  # the step has begun
                time.sleep(0.01)
            os.kill(process, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(
            ExportError, match=r"^step rest was killed by SIGKILL: there may not have been enough memory"
        ):
            workers.run(Step("rest", time.sleep), 600.0)
        killer.join()
        assert workers.run(ADD, 2, 3) == 5
        # One that dies while it waits for a step costs none.
        os.kill(workers.run(PROCESS), signal.SIGKILL)
        assert workers.run(ADD, 2, 3) == 5


def test_no_process_is_left_when_the_export_ends(tmp_path: Path) -> None:
    with Workers(tmp_path, began=ignore) as workers:
        process = workers.run(PROCESS)
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


#: Starts a worker forty times, each time with an interrupt some moments later, and prints the processes that are left.
INTERRUPTED = """
import os, pathlib, signal, tempfile, threading, time
from edgefeat_export._pipeline.worker_pool import Workers
signal.signal(signal.SIGINT, signal.default_int_handler)
main, children = threading.main_thread().ident, pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
def interrupt(delay):
    time.sleep(delay)
    signal.pthread_kill(main, signal.SIGINT)
for number in range(40):
    thread = threading.Thread(target=interrupt, args=(number / 4000,))
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Workers(pathlib.Path(folder), began=print) as workers:
                thread.start()
                workers.warm(tensorflow=False)
                thread.join()
                time.sleep(60)
        except KeyboardInterrupt:
            pass
    thread.join()
print(children.read_text())
"""


@pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="looks in Linux's /proc")
def test_an_interrupt_while_a_process_starts_leaves_none() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
