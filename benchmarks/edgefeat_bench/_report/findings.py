"""What tables, plots, sentences, comparison and gate derive from a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from edgefeat_bench._contenders.registry import PEERS, TUNED_KIND
from edgefeat_bench._measure.latency.stability import unsteady_alone
from edgefeat_bench._records import METHOD, Bulk, ColdStart, Cost, Peak, Photos, Quality, Result, Run, Series
from edgefeat_bench._report.numbers import joined
from edgefeat_bench._statistics import Estimate, median, ratio

#: The kind that is the full TensorFlow path as most people write it.
PREDICT = "keras-predict"
#: The kinds that are TensorFlow compiled for one shape of images.
_COMPILED = ("tf-function", "tf-saved-model")

# The projects that contenders are of, by kind; the kinds of TensorFlow's have its side.
_PROJECTS = {
    "mediapipe": "MediaPipe",
    "litert": "LiteRT",
    "onnxruntime": "ONNX Runtime",
    "fastembed": "fastembed",
    "openvino": "OpenVINO",
    "ncnn": "ncnn",
    "torch": "PyTorch",
    "executorch": "ExecuTorch",
}

# How a reason ends if only a package is missing.
_NOT_INSTALLED = "not installed"

# The bits of a Raspberry Pi's `get_throttled`: now, and since it started.
_THROTTLED = 0xF000F

_Measured = TypeVar("_Measured", ColdStart, Bulk)


def valid(run: Run, side: str | None = None) -> list[Result]:
    """Return the contenders that can be compared: correct features, and no crash."""
    return [result for result in run.results if result.status == "ok" and side in (None, result.contender.side)]


def status_of(result: Result) -> str:
    """Return the status in words."""
    if result.status == "absent":
        return "not installed" if result.reason.endswith(_NOT_INSTALLED) else "cannot run it"
    if result.status == "died":
        return "crashed" if result.series else "did not start"
    return result.status


def name_of(result: Result) -> str:
    """Return the contender's name, with its status if it cannot be compared."""
    return result.contender.name + (f" ({status_of(result)})" if result.status != "ok" else "")


def remark_of(result: Result) -> str:
    """Return why a contender cannot be compared; empty if it can."""
    return f"{status_of(result).upper()}: {result.reason}" if result.status != "ok" else ""


def timed(run: Run, photos: str) -> list[tuple[Result, Series]]:
    """Return the contenders with samples on these photos: valid ones first, then wrong and crashed ones."""
    found = [(result, series) for result in run.results if (series := series_of(result, photos))]
    return sorted(found, key=lambda pair: ("ok", "wrong", "died", "absent").index(pair[0].status))


def series_of(result: Result, photos: str) -> Series | None:
    """Return a contender's samples on the photos of that name, or None if it has none."""
    return next((series for series in result.series if series.photos == photos and series.seconds), None)


def latency(result: Result, photos: str) -> Estimate | None:
    """Return the seconds from photo to feature."""
    series = series_of(result, photos)
    return median(series.seconds) if series else None


def speedup(result: Result, other: Result | None, photos: str) -> Estimate | None:
    """Return the speed of `result` relative to `other`: the median of the ratios within each turn."""
    series, others = series_of(result, photos), series_of(other, photos) if other else None
    return ratio(others.seconds, series.seconds) if series and others else None


def baseline(run: Run) -> Result | None:
    """Return what speed-ups are relative to: `model.predict`, or else the first other TensorFlow contender."""
    theirs = valid(run, "tensorflow")
    return next((result for result in theirs if result.contender.kind == PREDICT), theirs[0] if theirs else None)


def predicted(run: Run) -> Result | None:
    """Return `model.predict`, if it was measured and its features are right."""
    return next((one for one in valid(run, "tensorflow") if one.contender.kind == PREDICT), None)


def ours(run: Run) -> Result | None:
    """Return edgefeat's tuned default, or else its fastest contender on the first photos."""
    mine = valid(run, "edgefeat")
    return next((one for one in mine if one.contender.kind == TUNED_KIND), _fastest(mine, run.photos[0].name))


def best_peer(run: Run, photos: str) -> Result | None:
    """Return the fastest contender of another project on these photos."""
    return _fastest(valid(run, "peer"), photos)


def best_compiled(run: Run, photos: str) -> Result | None:
    """Return the fastest compiled TensorFlow on these photos."""
    return _fastest([one for one in valid(run, "tensorflow") if one.contender.kind in _COMPILED], photos)


def _fastest(results: Sequence[Result], photos: str) -> Result | None:
    timed = [(spread.median, index) for index, one in enumerate(results) if (spread := latency(one, photos))]
    return results[min(timed)[1]] if timed else None


def own_variants(run: Run) -> list[Result]:
    """Return edgefeat's contenders beside its default, if there are more than two: they get plots of their own."""
    default = ours(run)
    own = [result for result in run.results if result.contender.side == "edgefeat" and result is not default]
    return own if len(own) > 2 else []


def first_of(measured: Sequence[_Measured], side: str) -> _Measured | None:
    """Return the first of `measured` that belongs to that side."""
    return next((one for one in measured if one.side == side), None)


def cold_factors(run: Run) -> dict[str, float]:
    """Return how much less time, memory and disk edgefeat's fresh process takes than TensorFlow's.

    Empty if TensorFlow's imported what else was installed, without need: that is no start to compare with.
    """
    theirs, mine = first_of(run.cold_starts, "tensorflow"), first_of(run.cold_starts, "edgefeat")
    if theirs is None or mine is None or not theirs.isolated:
        return {}
    return {
        "time": ratio(theirs.seconds, mine.seconds).median,
        "memory": theirs.peak_memory_bytes / mine.peak_memory_bytes,
        "installed": theirs.installed_bytes / mine.installed_bytes,
    }


def quality_of(run: Run, result: Result) -> Quality | None:
    """Return the feature quality measured on labelled photos.

    The tuned default has that of the variant it chose, recognized by its size and lowest cosine.
    """
    by_name = {quality.name: quality for quality in run.quality}
    if result.contender.name in by_name or result.contender.kind != TUNED_KIND:
        return by_name.get(result.contender.name)
    same = [one for one in run.results if one.contender.side == "edgefeat" and _model(one) == _model(result)]
    return next((by_name[one.contender.name] for one in same if one.contender.name in by_name), None)


def _model(result: Result) -> tuple[int | None, float | None]:
    return result.model_bytes, result.minimum_cosine


def per_second(bulk: Bulk) -> Estimate:
    """Return the photos per second."""
    return median([bulk.pictures / seconds for seconds in bulk.seconds])


def point_at(cost: Cost, x: float) -> Estimate | None:
    """Return the seconds per photo at one size of the work."""
    return next((median(point.seconds) for point in cost.points if point.x == x), None)


def with_large_photos(run: Run) -> Run:
    """Return the run with the photos of its curve by megapixels that are larger than those of its rounds, as a kind."""
    curves = {cost.name: cost for cost in run.costs if cost.axis == "megapixels"}
    sizes = sorted({point.x for cost in curves.values() for point in cost.points})
    larger = [x for x in sizes if x > max(one.megapixels for one in run.photos) + 0.5]
    results = [
        replace(one, series=(*one.series, *_larger(curves[one.contender.name], larger)))
        if one.contender.name in curves
        else one
        for one in run.results
    ]
    photos = (Photos(f"{x:g} megapixels", x, ()) for x in larger)
    return replace(run, photos=(*run.photos, *photos), results=tuple(results))


def peers_by_megapixels(runs: Sequence[Run]) -> list[str]:
    """Return the peers that runs have a curve by megapixels of."""
    costs = [cost for run in runs for cost in run.costs if cost.axis == "megapixels" and cost.side == "peer"]
    return list(dict.fromkeys(cost.name for cost in costs))


def _larger(cost: Cost, sizes: Sequence[float]) -> list[Series]:
    return [Series(f"{point.x:g} megapixels", point.seconds) for point in cost.points if point.x in sizes]


def peak_rates(peak: Peak) -> tuple[float, float]:
    """Return billions of operations per second of the model and of the engine's matrix product."""
    model, product = median(peak.model_seconds).median, median(peak.product_seconds).median
    return peak.model_operations / model / 1e9, peak.product_operations / product / 1e9


def speedups(run: Run) -> dict[Photos, Estimate]:
    """Return edgefeat's speed-up over TensorFlow on each kind of photos."""
    mine, base = ours(run), baseline(run)
    found = {photos: speedup(mine, base, photos.name) if mine else None for photos in run.photos}
    return {photos: factor for photos, factor in found.items() if factor}


def titles(runs: Sequence[Run]) -> list[str]:
    """Return the runs' titles: with the processors if they differ, and what to know before one quotes figures."""
    several = len({run.machine.processor for run in runs}) > 1
    found = []
    for run in runs:
        marks = ["earlier method"] * (run.method < METHOD) + ["unstable"] * bool(run.unstable)
        processor = f", {run.machine.processor}" if several else ""
        found.append(f"{run.title}{processor}{f' ({joined(marks)})' if marks else ''}")
    return found


def measured(run: Run) -> list[str]:
    """Return what a run has beside the times of photos and the memory of each contender, in words."""
    found = {
        "start of a process": run.cold_starts,
        "a whole folder": run.bulk,
        "quality on labelled photos": run.quality,
        "use of the processor": run.peaks,
        f"cost by {joined(list(dict.fromkeys(one.axis for one in run.costs)))}": run.costs,
    }
    return [words for words, figures in found.items() if figures]


def not_installed(run: Run) -> list[str]:
    """Return the names of contenders that are not installed; only the engine, where edgefeat runs nothing on it."""
    used = {result.contender.engine for result in run.results if result.status != "absent"}
    names = [
        f"edgefeat on {one.engine}" if one.kind == "edgefeat" and one.engine not in used else one.name
        for one in (result.contender for result in run.results if status_of(result) == _NOT_INSTALLED)
    ]
    return list(dict.fromkeys(names))


def unable(run: Run) -> list[str]:
    """Return the names of contenders that are installed, but cannot run this network or did not start."""
    return [result.contender.name for result in run.results if status_of(result) in ("cannot run it", "did not start")]


def not_in_run(run: Run) -> list[str]:
    """Return the names of the usual peers that a run does not have: left out, or not yet known when it was made."""
    names = {result.contender.name for result in run.results}
    return [peer.name for peer in PEERS if peer.name not in names]


def of_kinds(run: Run, *kinds: str) -> list[str]:
    """Return the names of the valid contenders of these kinds."""
    return [one.contender.name for one in valid(run) if one.contender.kind in kinds]


def other_projects(run: Run) -> list[str]:
    """Return the names of the projects beside edgefeat that have a valid contender, without those added by the user."""
    found = [one.contender for one in valid(run)]
    names = ["TensorFlow" if one.side == "tensorflow" else _PROJECTS.get(one.kind) for one in found]
    return list(dict.fromkeys(name for name in names if name))


def peers_remarks(run: Run) -> dict[str, list[str]]:
    """Return what there is to know of valid peers, each remark with the names of those that it is about."""
    found: dict[str, list[str]] = {}
    for one in valid(run, "peer"):
        if one.reason:
            found.setdefault(one.reason, []).append(one.contender.name)
    return found


def throttling(run: Run) -> list[str]:
    """Return the flags of a Raspberry Pi that was throttled."""
    flags = {state.throttled for state in (run.before, run.after) if state and state.throttled}
    return sorted(flags) if any(int(flag, 16) & _THROTTLED for flag in flags) else []


def unsteady(run: Run) -> list[str]:
    """Return the contenders of one other project whose times vary while all others are steady, each with its photos."""
    return unsteady_alone(run.results)


def is_unsteady(run: Run, result: Result) -> bool:
    """Return whether a contender is one of the `unsteady`: a speed-up over it is a range."""
    return any(name.startswith(f"{result.contender.name} on ") for name in unsteady(run))


def has_generated_photos(run: Run) -> bool:
    """Return whether some photos were generated. Results of older versions call them made-up."""
    return any(Path(file).name.startswith(("made-up", "generated")) for one in run.photos for file in one.files)


def fewest_samples(run: Run) -> int | None:
    """Return the smallest number of samples of any valid series."""
    return min((len(one.seconds) for result in valid(run) for one in result.series if one.seconds), default=None)
