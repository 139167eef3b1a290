"""One point of a cost curve: one piece of work, called many times in a process of its own, each call timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefeat import EdgefeatError
from edgefeat._bundle.json_records import from_json, to_json
from edgefeat_bench._processes import child_environment

__all__ = ["PointTask", "measure_point"]

_WARMING_SECONDS, _FEWEST = 0.3, 5


@dataclass(frozen=True, slots=True)
class PointTask:
    """`work` is `keras` (MobileNetV2 of that `alpha`, or the saved model at `path`), `edgefeat` (the bundle at `path`),
    or `product` (the matrix product in the file at `path`). Calls take `batch` pictures of `side` x `side` pixels.
    """

    work: str
    seconds: float
    threads: int
    path: str = ""
    variant: str = ""
    engine: str = ""
    alpha: float = 1.0
    side: int = 224
    batch: int = 1


def measure_point(task: PointTask) -> tuple[float, ...]:
    """The seconds of each call, for one picture of its batch. Raises EdgefeatError where the process fails."""
    command = [sys.executable, "-P", "-m", "edgefeat_bench._measure.timed_calls", json.dumps(to_json(task))]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(), check=False)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise EdgefeatError(f"{task.work} {task.variant} {task.engine}: {words[-1][:200]}")
    return tuple(round(one / task.batch, 8) for one in json.loads(done.stdout.splitlines()[-1]))


def _keras(task: PointTask) -> Callable[[], object]:
    import keras

    from edgefeat_bench._contenders.keras import limit_threads

    limit_threads(task.threads)
    model = (
        keras.models.load_model(task.path)
        if task.path
        else keras.applications.MobileNetV2(
            input_shape=(task.side, task.side, 3), alpha=task.alpha, include_top=False, pooling="avg", weights=None
        )
    )
    pixels = np.random.default_rng(0).uniform(-1, 1, (task.batch, *model.input_shape[1:])).astype(np.float32)
    return lambda: model.predict(pixels, batch_size=task.batch, verbose=0)


def _edgefeat(task: PointTask) -> Callable[[], object]:
    import edgefeat

    extractor = edgefeat.load(task.path, variant=task.variant, engine=task.engine, threads=task.threads)
    form = extractor.bundle.manifest.picture
    pixels = np.random.default_rng(0).integers(0, 256, (task.batch, form.height, form.width, 3), np.uint8)
    return lambda: extractor.run(pixels)


def _product(task: PointTask) -> Callable[[], object]:
    random = np.random.default_rng(0)
    if task.engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        session = onnxruntime.InferenceSession(task.path, options, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        feed = {given.name: random.integers(0, 256, given.shape, np.uint8)}
        return lambda: session.run(None, feed)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=task.path, num_threads=task.threads)
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    interpreter.set_tensor(detail["index"], random.integers(-128, 128, detail["shape"], np.int8))

    def invoke() -> Any:
        return interpreter.invoke()

    return invoke


_WORK = {"keras": _keras, "edgefeat": _edgefeat, "product": _product}


def _main(task: PointTask) -> int:
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    call = _WORK[task.work](task)
    samples: list[float] = []
    started = time.perf_counter()
    while len(samples) < _FEWEST or time.perf_counter() - started < _WARMING_SECONDS + task.seconds:
        before = time.perf_counter()
        call()
        if before - started > _WARMING_SECONDS:
            samples.append(time.perf_counter() - before)
    os.write(answers, (json.dumps(samples) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(_main(from_json(PointTask, json.loads(sys.argv[1]))))
