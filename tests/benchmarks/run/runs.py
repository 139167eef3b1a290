"""`edgefeat-bench run` as a user runs it, short, on the committed bundle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="needs the bench extra")

from edgefeat_bench._records import Result, Run

BUNDLE = Path(__file__).parents[2] / "data" / "one_tap.edgefeat"

QUICK = ["--sizes", "320x240,array", "--pictures", "2", "--rounds", "2", "--no-cold", "--no-bulk", "--no-peak"]

OURS = ["--only", "edgefeat tflite-float32 litert", "--only", "edgefeat onnx-float32 onnxruntime"]

# A shell shows both as 130. Python ends itself by the signal, whatever its exit status, where the interruption came
# while a string was evaluated, as psutil does now and then.
INTERRUPTED = (130, -signal.SIGINT)

# A contender of the user's own. It gives the feature and the seconds that it is told to; at the `last` picture it ends.
OWN = """
import json, sys
import numpy as np
feature, last, seconds = sys.argv[1:]
print(json.dumps({"versions": {"own": "1"}, "model_bytes": 3}), flush=True)
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    if number == int(last):
        sys.exit("the battery is empty")
    assert ("file" in asked) != ("array" in asked)
    print(json.dumps({"seconds": float(seconds), "feature": json.loads(feature)}), flush=True)
"""


def bench(*arguments: str | Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command; `path` is where Python looks for modules first."""
    command = [sys.executable, "-m", "edgefeat_bench._commands.main", *map(str, arguments)]
    places = os.pathsep.join(filter(None, [str(path or ""), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **({"PYTHONPATH": places} if places else {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A run that is not left behind where the test fails."""
    command = [sys.executable, "-m", "edgefeat_bench._commands.main", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # it ends the contenders that it has stopped
            process.communicate(timeout=60)


def measured(output: Path, *arguments: str | Path, bundle: Path = BUNDLE) -> Run:
    done = bench("run", bundle, *arguments, "--threads", "1", "-o", output)
    assert done.returncode == 0, done.stderr
    return Run.read(output / "tiny_last_32-1t.json")


def result(run: Run, name: str) -> Result:
    (found,) = [one for one in run.results if one.contender.name == name]
    return found
