"""Contenders side by side: fresh processes, warmed, then called in turn, A B C A B C, so that drift hits all alike."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import edgefeat
from edgefeat import ArgumentError, EdgefeatError
from edgefeat._fidelity import cosines
from edgefeat._records import to_json
from edgefeat._selection import candidates
from edgefeat_bench._machine import this_machine
from edgefeat_bench._records import FORMAT, Contender, Result, Run

__all__ = ["default_contenders", "run"]

_WARMING_CALLS = 2
# `fast` decoding of large photos moves a feature by a few thousandths; int8 by more, which its fidelity tells.
_RIGHT_COSINE = 0.9


class _Worker:
    """A contender's process. Its log is kept for the case in which it dies."""

    def __init__(self, contender: Contender, bundle: str) -> None:
        self.contender = contender
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "edgefeat_bench._worker", json.dumps(to_json(contender)), bundle],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        )
        first = self._read()
        self.absent: str | None = first.get("absent")
        self.versions: dict[str, str] = first.get("versions", {})
        self.start_seconds = time.perf_counter() - started
        self.peak = 0

    def __enter__(self) -> _Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def call(self, photo: str) -> tuple[float, NDArray[np.float32]]:
        """Seconds from file to feature, and the feature, flat."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(photo) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        self.peak = answer["peak"]
        return answer["seconds"], np.frombuffer(base64.b64decode(answer["feature"]), np.float32)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EdgefeatError(f"contender {self.contender.name} died (exit status {self._process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(slots=True)
class _Samples:
    seconds: list[float] = field(default_factory=list)
    features: list[NDArray[np.float32]] = field(default_factory=list)


def default_contenders(bundle: edgefeat.Bundle) -> list[Contender]:
    """Keras's own path first, then every variant of the bundle on every installed engine that runs it."""
    ours = [
        Contender(
            f"edgefeat {choice.variant.name} {choice.engine.name}", "edgefeat", choice.variant.name, choice.engine.name
        )
        for choice in candidates(bundle)
    ]
    return [Contender("keras predict", "keras-predict"), *ours]


def run(
    bundle: str,
    photos: Sequence[str],
    *,
    rounds: int,
    contenders: Sequence[Contender],
    right_cosine: float = _RIGHT_COSINE,
    show: bool = False,
) -> Run:
    """Every contender timed on every photo, `rounds` times, in turn. Raises ArgumentError without photos or rounds.

    One whose feature of any photo has a cosine below `right_cosine` to the first contender's is wrong.
    """
    if not photos or rounds < 1:
        raise ArgumentError(f"{len(photos)} photos and {rounds} rounds (allowed: at least one of each)")
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker(contender, bundle)) for contender in contenders]
        present = [worker for worker in workers if worker.absent is None]
        samples = {worker.contender.name: _Samples() for worker in present}
        for worker in present:
            for _ in range(_WARMING_CALLS):
                worker.call(photos[0])
        quiet = not (show and sys.stderr.isatty())
        for index in tqdm(range(rounds), unit="round", disable=quiet, leave=False):
            for photo in photos:
                for worker in present:
                    seconds, feature = worker.call(photo)
                    samples[worker.contender.name].seconds.append(seconds)
                    if index == 0:
                        samples[worker.contender.name].features.append(feature)
        results = tuple(_result(worker, samples, contenders[0].name, bundle, right_cosine) for worker in workers)
    return Run(
        format=FORMAT,
        edgefeat=edgefeat.__version__,
        machine=this_machine(),
        bundle=edgefeat.Bundle.open(bundle).manifest.name,
        photos=tuple(Path(photo).name for photo in photos),
        rounds=rounds,
        right_cosine=right_cosine,
        results=results,
        cold_starts=(),
    )


def _result(worker: _Worker, samples: dict[str, _Samples], reference: str, bundle: str, right_cosine: float) -> Result:
    if worker.absent is not None:
        return Result(worker.contender, "absent", worker.absent, {}, None, None, None, ())
    own = samples[worker.contender.name]
    cosine = None
    # Keras's random weights are not the bundle's: the features cannot be compared.
    random = edgefeat.Bundle.open(bundle).manifest.backbone.weights.startswith("random")
    if reference in samples and not (random and worker.contender.name != reference):
        cosine = float(cosines(np.stack(own.features), np.stack(samples[reference].features)).min())
    wrong = cosine is not None and cosine < right_cosine
    return Result(
        worker.contender,
        "wrong" if wrong else "ok",
        f"its features have cosine {cosine:.3f} to {reference}'s" if wrong else "",
        worker.versions,
        cosine,
        worker.start_seconds,
        worker.peak,
        tuple(own.seconds),
    )
