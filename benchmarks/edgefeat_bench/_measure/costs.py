"""How the cost grows with the work: input side, alpha, batch, threads, megapixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Literal, TypeAlias

from edgefeat import EdgefeatError, ExportError
from edgefeat._engines.device.cores import available_cores
from edgefeat._engines.selection import candidates
from edgefeat_bench._contenders.model_files import KERAS_MODEL
from edgefeat_bench._contenders.registry import TUNED_KIND, absence
from edgefeat_bench._contenders.worker_process import WorkerError
from edgefeat_bench._measure.latency.rounds import Lane, check_round, timed_round
from edgefeat_bench._measure.timed_calls import Work, timed_calls
from edgefeat_bench._records import Cost, CostPoint, Side
from edgefeat_bench._setup.bundle_export import export
from edgefeat_bench._setup.photos import photos_of_sizes
from edgefeat_bench._setup.setup import Setup

_SIDES = (96, 128, 160, 192, 224, 256, 320)
_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_BATCHES = (1, 2, 4, 8, 16, 32)
_THREADS = (1, 2, 3, 4, 6, 8)
_MEGAPIXELS = {1: "1152x864", 2: "1632x1224", 4: "2304x1728", 8: "3264x2448", 12: "4000x3000", 48: "8000x6000"}
_MEGAPIXELS |= {108: "12000x9000"}  # the most that phones take
_SECONDS, _PASSES, _PHOTOS, _ROUNDS = 0.7, 2, 2, 5
_BY_MEGAPIXELS = (TUNED_KIND, "keras-predict", "tf-saved-model", "onnxruntime", "mediapipe")
_EXPORTED = ("tflite-float32", "tflite-int8")

Tell: TypeAlias = Callable[[str], None]
#: A curve's name and side, the size of the work, and the work.
_Point: TypeAlias = tuple[str, Side, float, Work]


def _input_sides(setup: Setup, tell: Tell) -> list[Cost]:
    points = [(float(side), 0.35, side) for side in _SIDES]
    return _measured("input side", [*_networks(setup, "MobileNetV2 0.35", points, tell)], tell)


def _alphas(setup: Setup, tell: Tell) -> list[Cost]:
    points = [(alpha, alpha, 224) for alpha in _ALPHAS]
    return _measured("alpha", [*_networks(setup, "MobileNetV2, 224", points, tell)], tell)


def _batches(setup: Setup, tell: Tell) -> list[Cost]:
    points = [point for batch in _BATCHES for point in _bundle(setup, batch, setup.settings.threads, batch=batch)]
    return _measured("batch", [one for one in points if not one[3].variant.endswith(("float16", "dynamic"))], tell)


def _threads(setup: Setup, tell: Tell) -> list[Cost]:
    counts = [count for count in _THREADS if count <= available_cores()]
    return _measured("threads", [point for count in counts for point in _bundle(setup, count, count)], tell)


def _networks(setup: Setup, network: str, points: list[tuple[float, float, int]], tell: Tell) -> Iterator[_Point]:
    """Yield the inference of MobileNetV2 with random weights, exported for it, at each (x, alpha, side)."""
    for x, alpha, side in [] if setup.facts.reason else points:
        sizes: dict[str, Any] = {"seconds": _SECONDS, "threads": setup.settings.threads}
        yield f"keras predict ({network})", "tensorflow", x, Work("keras", **sizes, alpha=alpha, side=side)
        path = setup.settings.prepared / "costs" / f"mobilenet_v2_{alpha:g}_{side}.edgefeat"
        options = ["--variants", ",".join(_EXPORTED), "--correction", "none", "--min-fidelity", "0"]
        size = ["--alpha", f"{alpha:g}", "--input-size", str(side)]
        try:
            export(path, "mobilenet_v2", *size, "--weights", "random", *options)
        except ExportError as error:
            tell(str(error))
            continue
        for variant in _EXPORTED:
            work = Work("edgefeat", **sizes, path=str(path), variant=variant, engine="litert")
            yield f"edgefeat {variant} litert ({network})", "edgefeat", x, work


def _bundle(setup: Setup, x: float, threads: int, batch: int = 1) -> Iterator[_Point]:
    """Yield the inference of the bundle's variants and of its Keras model, of those that are contenders."""
    sizes: dict[str, Any] = {"seconds": _SECONDS, "threads": threads, "batch": batch}
    chosen = {one.name for one in setup.contenders}
    for choice in candidates(setup.bundle):
        variant, engine = choice.variant.name, choice.engine.name
        work = Work("edgefeat", **sizes, path=str(setup.bundle.path), variant=variant, engine=engine)
        if (name := f"edgefeat {variant} {engine}") in chosen:
            yield name, "edgefeat", float(x), work
    if (name := "keras predict") in chosen and not setup.facts.reason:
        yield name, "tensorflow", float(x), Work("keras", **sizes, path=str(setup.folder / KERAS_MODEL))


def _measured(axis: Literal["input side", "alpha", "batch", "threads"], points: list[_Point], tell: Tell) -> list[Cost]:
    """Measure all points in turn, several times; a point that fails is skipped."""
    samples: dict[tuple[str, Side], dict[float, list[float]]] = {}
    for turn in range(_PASSES):
        for name, side, x, work in points:
            tell(f"cost by {axis}: {name} at {x:g}, pass {turn + 1} of {_PASSES}")
            try:
                samples.setdefault((name, side), {}).setdefault(x, []).extend(timed_calls(work))
            except EdgefeatError as error:
                tell(f"skipped: {error}")
    curves = [
        Cost(axis, name, side, tuple(CostPoint(x, tuple(taken)) for x, taken in each.items() if taken))
        for (name, side), each in samples.items()
    ]
    return [curve for curve in curves if curve.points]


def _megapixels(setup: Setup, tell: Tell) -> list[Cost]:
    """Measure from file to feature, contenders in turn."""
    settings = setup.settings
    photos = photos_of_sizes(settings.photos, tuple(_MEGAPIXELS.values()), _PHOTOS, settings.prepared / "photos")
    chosen = [
        one
        for one in setup.contenders
        if one.kind in _BY_MEGAPIXELS
        and absence(one, setup.facts) is None
        and not (one.kind == TUNED_KIND and setup.untuned)
    ]
    with ExitStack() as stack:
        lanes = []
        for contender in chosen:
            tell(f"photos of 1 to 108 megapixels with {contender.name}")
            try:
                worker = stack.enter_context(setup.worker(contender))
            except WorkerError as error:
                tell(f"{contender.name}: {error}")
                continue
            if worker.absent is None:
                lanes.append(Lane(worker))
        check_round(lanes, photos, setup.warm, tell)
        for index in range(_ROUNDS):
            timed_round(lanes, photos, warm=setup.warm, seed=settings.seed, index=index, tell=lambda: None)
    found = []
    for lane in lanes:
        pairs = zip(_MEGAPIXELS, lane.series(photos), strict=True)
        points = tuple(CostPoint(float(megapixels), one.seconds) for megapixels, one in pairs if one.seconds)
        found.append(Cost("megapixels", lane.worker.contender.name, lane.worker.contender.side, points))
    return found


#: What measures each axis.
AXES: Mapping[str, Callable[[Setup, Tell], list[Cost]]] = {
    "input side": _input_sides,
    "alpha": _alphas,
    "batch": _batches,
    "threads": _threads,
    "megapixels": _megapixels,
}
