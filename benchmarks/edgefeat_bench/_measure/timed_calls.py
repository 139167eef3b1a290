"""One piece of work called many times in a process of its own, each call timed."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgefeat import EdgefeatError
from edgefeat._bundle.json_records import from_json, to_json
from edgefeat_bench._processes import run_module

_WARMING_SECONDS, _FEWEST = 0.3, 5


@dataclass(frozen=True, slots=True)
class Work:
    """`keras` is the saved model at `path`, or MobileNetV2 of that `alpha`; `edgefeat` the bundle at `path`;
    `product` the matrix product in the file at `path`. A call takes `batch` images of `side` x `side` pixels.
    """

    kind: Literal["keras", "edgefeat", "product"]
    seconds: float
    threads: int
    path: str = ""
    variant: str = ""
    engine: str = ""
    alpha: float = 1.0
    side: int = 224
    batch: int = 1


def timed_calls(work: Work) -> tuple[float, ...]:
    """Return the seconds of each call, for one image of its batch. Raises EdgefeatError if the process fails."""
    try:
        output = run_module("edgefeat_bench._measure.timed_calls", json.dumps(to_json(work)))
    except EdgefeatError as error:
        raise EdgefeatError(f"{work.kind} {work.variant} {work.engine}: {error}") from error
    return tuple(round(one / work.batch, 8) for one in json.loads(output.splitlines()[-1]))


def _keras(work: Work) -> Callable[[], object]:
    import keras

    from edgefeat_bench._contenders.tensorflow import limit_threads

    limit_threads(work.threads)
    if work.path:
        model = keras.models.load_model(work.path)
    else:
        network = {"input_shape": (work.side, work.side, 3), "alpha": work.alpha, "weights": None}
        model = keras.applications.MobileNetV2(include_top=False, pooling="avg", **network)
    pixels = np.random.default_rng(0).uniform(-1, 1, (work.batch, *model.input_shape[1:])).astype(np.float32)
    return lambda: model.predict(pixels, batch_size=work.batch, verbose=0)


def _edgefeat(work: Work) -> Callable[[], object]:
    import edgefeat

    extractor = edgefeat.load(work.path, variant=work.variant, engine=work.engine, threads=work.threads)
    form = extractor.bundle.manifest.picture
    pixels = np.random.default_rng(0).integers(0, 256, (work.batch, form.height, form.width, 3), np.uint8)
    return lambda: extractor.run(pixels)


def _product(work: Work) -> Callable[[], object]:
    random = np.random.default_rng(0)
    if work.engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = work.threads
        session = onnxruntime.InferenceSession(work.path, options, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        feed = {given.name: random.integers(0, 256, given.shape, np.uint8)}
        return lambda: session.run(None, feed)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=work.path, num_threads=work.threads)
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    interpreter.set_tensor(detail["index"], random.integers(-128, 128, detail["shape"], np.int8))
    return lambda: interpreter.invoke()


def _main(work: Work) -> int:
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # engines print there
    call = {"keras": _keras, "edgefeat": _edgefeat, "product": _product}[work.kind](work)
    samples: list[float] = []
    started = time.perf_counter()
    while len(samples) < _FEWEST or time.perf_counter() - started < _WARMING_SECONDS + work.seconds:
        before = time.perf_counter()
        call()
        if before - started > _WARMING_SECONDS:
            samples.append(time.perf_counter() - before)
    os.write(answers, (json.dumps(samples) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(_main(from_json(Work, json.loads(sys.argv[1]))))
