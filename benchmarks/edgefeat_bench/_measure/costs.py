"""How the cost grows with the work: input side, alpha, batch, threads, megapixels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from edgefeat import EdgefeatError
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.selection import candidates
from edgefeat_bench._contenders.kinds import TUNED, absence
from edgefeat_bench._contenders.model_files import KERAS_MODEL
from edgefeat_bench._contenders.worker_process import WorkerError
from edgefeat_bench._measure.latency.rounds import Lane, check_round, timed_round
from edgefeat_bench._measure.timed_calls import PointTask, measure_point
from edgefeat_bench._processes import child_environment
from edgefeat_bench._records import Cost, CostPoint, Side
from edgefeat_bench._setup.photos import columns
from edgefeat_bench._setup.setup import Setup

__all__ = ["AXES"]

_SIDES = (96, 128, 160, 192, 224, 256, 320)
_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_BATCHES = (1, 2, 4, 8, 16, 32)
_MEGAPIXELS = {1: "1152x864", 2: "1632x1224", 4: "2304x1728", 8: "3264x2448", 12: "4000x3000", 16: "4608x3456"}
_SECONDS, _PASSES, _PHOTOS, _ROUNDS = 0.7, 2, 2, 5
_ON_THE_CURVES = (TUNED, "keras predict", "tf SavedModel", "plain onnxruntime")
_EXPORTED = ("tflite-float32", "tflite-int8")

Tell = Callable[[str], None]


def _input_sides(setup: Setup, tell: Tell) -> list[Cost]:
    return _networks(setup, "input side", "MobileNetV2 0.35", [(float(side), 0.35, side) for side in _SIDES], tell)


def _alphas(setup: Setup, tell: Tell) -> list[Cost]:
    return _networks(setup, "alpha", "MobileNetV2, 224", [(alpha, alpha, 224) for alpha in _ALPHAS], tell)


def _networks(
    setup: Setup, axis: str, network: str, points: Sequence[tuple[float, float, int]], tell: Tell
) -> list[Cost]:
    """Inference alone of MobileNetV2 with random weights, made for it, at each (x, alpha, side)."""
    if setup.facts.reason:
        return []
    threads = setup.settings.threads
    curves: dict[tuple[str, Side], list[tuple[float, PointTask]]] = {}
    for x, alpha, side in points:
        keras = PointTask("keras", _SECONDS, threads, alpha=alpha, side=side)
        curves.setdefault((f"keras predict ({network})", "tensorflow"), []).append((x, keras))
        bundle = _exported(setup.settings.prepared / "costs", alpha, side, tell)
        for variant in _EXPORTED if bundle else ():
            ours = PointTask("edgefeat", _SECONDS, threads, path=str(bundle), variant=variant, engine="litert")
            curves.setdefault((f"edgefeat {variant} litert ({network})", "edgefeat"), []).append((x, ours))
    return _measured(axis, curves, tell)


def _exported(folder: Path, alpha: float, side: int, tell: Tell) -> Path | None:
    """A bundle with random weights, made once; None where it cannot be."""
    path = folder / f"mobilenet_v2_{alpha:g}_{side}.edgefeat"
    if path.is_dir():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    tell(f"exporting {path.name}")
    network = ["mobilenet_v2", "--alpha", f"{alpha:g}", "--input-size", str(side), "--weights", "random"]
    options = ["--variants", ",".join(_EXPORTED), "--correction", "none", "--min-fidelity", "0", "-o", str(path)]
    command = [sys.executable, "-P", "-m", "edgefeat", "export", *network, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(), check=False)
    if done.returncode != 0:
        tell(f"{path.name} could not be exported: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
        return None
    return path


def _batches(setup: Setup, tell: Tell) -> list[Cost]:
    curves: dict[tuple[str, Side], list[tuple[float, PointTask]]] = {}
    for batch in _BATCHES:
        task = PointTask("edgefeat", _SECONDS, setup.settings.threads, path=str(setup.bundle.path), batch=batch)
        for choice in candidates(setup.bundle):
            variant, engine = choice.variant.name, choice.engine.name
            if choice.variant.precision in ("float32", "int8"):
                ours = replace(task, variant=variant, engine=engine)
                curves.setdefault((f"edgefeat {variant} {engine}", "edgefeat"), []).append((float(batch), ours))
        if not setup.facts.reason:
            keras = replace(task, work="keras", path=str(setup.folder / KERAS_MODEL))
            curves.setdefault(("keras predict", "tensorflow"), []).append((float(batch), keras))
    return _measured("batch", curves, tell)


def _threads(setup: Setup, tell: Tell) -> list[Cost]:
    curves: dict[tuple[str, Side], list[tuple[float, PointTask]]] = {}
    for threads in [count for count in (1, 2, 3, 4, 6, 8) if count <= available_cores()]:
        for choice in candidates(setup.bundle):
            variant, engine = choice.variant.name, choice.engine.name
            ours = PointTask("edgefeat", _SECONDS, threads, path=str(setup.bundle.path), variant=variant, engine=engine)
            curves.setdefault((f"edgefeat {variant} {engine}", "edgefeat"), []).append((float(threads), ours))
        if not setup.facts.reason:
            keras = PointTask("keras", _SECONDS, threads, path=str(setup.folder / KERAS_MODEL))
            curves.setdefault(("keras predict", "tensorflow"), []).append((float(threads), keras))
    return _measured("threads", curves, tell)


def _megapixels(setup: Setup, tell: Tell) -> list[Cost]:
    """From file to feature, contenders in turn as in the race."""
    settings = setup.settings
    photos = columns(settings.photos, tuple(_MEGAPIXELS.values()), _PHOTOS, settings.prepared / "photos")
    with ExitStack() as stack:
        lanes = []
        for contender in setup.contenders:
            if contender.name in _ON_THE_CURVES and absence(contender, setup.facts) is None:
                tell(f"pictures of 1 to 16 megapixels with {contender.name}")
                try:
                    worker = stack.enter_context(setup.worker(contender))
                except WorkerError as error:
                    tell(f"{contender.name}: {error}")
                    continue
                if worker.absent is None:
                    lanes.append(Lane(worker))
        check_round(lanes, photos, setup.warm, tell)
        for index in range(_ROUNDS):
            timed_round(lanes, photos, warm=setup.warm, seed=settings.seed, index=index, tell=_nothing)
        found = []
        for lane in lanes:
            points = tuple(
                CostPoint(float(megapixels), one.seconds)
                for megapixels, one in zip(_MEGAPIXELS, lane.series(photos), strict=True)
                if one.seconds
            )
            found.append(Cost("megapixels", lane.worker.contender.name, lane.worker.contender.side, points))
    return found


def _nothing() -> None:
    """There is no bar to move on."""


def _measured(axis: str, curves: dict[tuple[str, Side], list[tuple[float, PointTask]]], tell: Tell) -> list[Cost]:
    """All points in turn, the whole of it several times; a point that fails is told of and left out."""
    samples: dict[tuple[str, float], list[float]] = {}
    for turn in range(_PASSES):
        for (name, _), points in curves.items():
            tell(f"cost by {axis}: {name}, pass {turn + 1} of {_PASSES}")
            for x, task in points:
                try:
                    samples.setdefault((name, x), []).extend(measure_point(task))
                except EdgefeatError as error:
                    tell(f"{name} at {x:g}: {error}")
    found = []
    for (name, side), points in curves.items():
        taken = tuple(CostPoint(x, tuple(samples[name, x])) for x, _ in points if samples.get((name, x)))
        if taken:
            found.append(Cost(axis, name, side, taken))  # type: ignore[arg-type]  # the callers give the literals
    return found


#: What gives the curves of each axis that can be had here.
AXES: Mapping[str, Callable[[Setup, Tell], list[Cost]]] = {
    "input side": _input_sides,
    "alpha": _alphas,
    "batch": _batches,
    "threads": _threads,
    "megapixels": _megapixels,
}
