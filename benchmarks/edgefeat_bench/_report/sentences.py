"""The sentences above the figures: what was found, and what to mind before it is repeated elsewhere."""

from __future__ import annotations

from pathlib import Path

from edgefeat_bench._records import Photos, Quality, Result, Run
from edgefeat_bench._report.findings import (
    TUNED,
    baseline,
    cold_pair,
    kept,
    latency,
    of_side,
    ours,
    quality_of,
    series_of,
    times_as_fast,
)
from edgefeat_bench._report.numbers import gigabytes, joined, milliseconds, plain, times
from edgefeat_bench._statistics import FEWEST, ratio

# Beyond this a cosine is printed as 1.0000.
_AS_GOOD_AS_EQUAL = 0.99995
# Bits of a Raspberry Pi's `get_throttled`: now, and since it started.
_THROTTLED = 0xF000F

__all__ = ["against_peers", "caveats", "headline", "machine_sentence", "title", "words"]


def title(run: Run) -> str:
    """The run in a line."""
    return f"{run.network}, {run.threads} thread{'s' * (run.threads != 1)}"


def machine_sentence(run: Run) -> str:
    """What the run was made on."""
    machine = run.machine
    governor = f", governor {machine.governor}" if machine.governor else ""
    cores = f"{machine.cores} core{'s' * (machine.cores != 1)}"
    return (
        f"{cores} of {machine.processor} ({machine.architecture}), {gigabytes(machine.memory_bytes)}{governor}, "
        f"{machine.system}, Python {machine.python}, edgefeat {run.edgefeat}, {run.date}"
    )


def headline(run: Run) -> str:
    """The run's ratios in a sentence."""
    mine, theirs = ours(run), baseline(run)
    if mine is None:
        return "No edgefeat contender gave the right features in this run: there is nothing to compare."
    timed = [photos for photos in run.photos if latency(mine, photos.name)]
    if not timed:
        return f"{mine.contender.name} was not timed on any photo in this run."
    if theirs is None:
        took = [(photos, milliseconds(spread.median)) for photos in timed if (spread := latency(mine, photos.name))]
        told = joined([f"{figure} on {words(photos)}" for photos, figure in took])
        return f"{mine.contender.name} takes {told}; TensorFlow is not in this run, so there is no ratio."
    ratios = [(photos, fast.median) for photos in timed if (fast := times_as_fast(mine, theirs, photos.name))]
    if not ratios:
        return f"{mine.contender.name} and {theirs.contender.name} were not timed on the same photos."
    told = joined(
        [
            f"{times(fast)} times{'' if index else f' as fast as {theirs.contender.name}'} on {words(photos)}"
            for index, (photos, fast) in enumerate(ratios)
        ]
    )
    return f"{mine.contender.name} is {told}{_cold_words(run)}."


def words(photos: Photos) -> str:
    """Kinds of photos as they stand in a sentence."""
    return "pictures already in memory" if photos.arrays else f"{photos.name} photos"


def _cold_words(run: Run) -> str:
    pair = cold_pair(run)
    if pair is None:
        return ""
    theirs, mine = pair
    faster = ratio(theirs.seconds, mine.seconds).median
    memory = theirs.peak_memory_bytes / mine.peak_memory_bytes
    installed = theirs.installed_bytes / mine.installed_bytes
    return (
        f"; a fresh process has its first feature {times(faster)} times sooner, in {times(memory)} times less memory "
        f"and from an install {times(installed)} times smaller"
    )


def against_peers(run: Run) -> str:
    """How edgefeat stands beside each peer on each kind of photo; empty where no peer ran."""
    mine = ours(run)
    peers = [result for result in kept(run) if result.contender.side == "peer"]
    if mine is None or not peers:
        return ""
    ahead: list[str] = []
    level: list[str] = []
    behind: list[str] = []
    for photos in run.photos:
        for peer in peers:
            fast = times_as_fast(mine, peer, photos.name)
            if fast is None:
                continue
            ratios = f"{times(fast.low)} to {times(fast.high)}{_farther_off(peer, run)}"
            cell = f"{peer.contender.name} on {photos.name} ({ratios})"
            (ahead if fast.low > 1 else behind if fast.high < 1 else level).append(cell)
    told = [
        f"Beside {len(peers)} peer{'s' * (len(peers) != 1)} it is ahead in {len(ahead)} of ",
        f"{len(ahead) + len(level) + len(behind)} cells",
    ]
    if level:
        told.append(f"; level, the interval of the ratio holding 1, with {joined(level)}")
    if behind:
        told.append(f"; behind {joined(behind)}")
    return "".join(told) + "." + _cold_peers(run)


def _farther_off(peer: Result, run: Run) -> str:
    """What a peer's speed costs, where its features are below what counts as right and known to be."""
    cosine = peer.minimum_cosine
    return f", with features of a cosine down to {cosine:.2f}" if cosine and cosine < run.right_cosine else ""


def _cold_peers(run: Run) -> str:
    """Which peers' fresh processes beat edgefeat's."""
    mine = of_side(run.cold_starts, "edgefeat")
    peers = [one for one in run.cold_starts if one.side == "peer"]
    if mine is None or not peers:
        return ""
    won = {
        "sooner to its first feature": [one.name for one in peers if ratio(one.seconds, mine.seconds).high < 1],
        "smaller in memory": [one.name for one in peers if one.peak_memory_bytes < mine.peak_memory_bytes],
        "smaller installed": [one.name for one in peers if one.installed_bytes < mine.installed_bytes],
    }
    told = [f"{what}: {joined(names)}" for what, names in won.items() if names]
    return f" Fresh processes of peers that do better than {mine.name}: {'; '.join(told)}." if told else ""


def caveats(run: Run) -> list[str]:
    """What a reader has to know before repeating the headline, the gravest first."""
    return [
        *_weights(run),
        *_contenders(run),
        *_fidelity(run),
        *_circumstances(run),
    ]


def _weights(run: Run) -> list[str]:
    if "weights random" not in run.network:
        return []
    return ["The weights are random: times and sizes hold, neighbours and accuracies mean nothing."]


def _contenders(run: Run) -> list[str]:
    told = [
        f"Wrong features, so shown struck and not compared: {result.contender.name}; {result.reason}."
        for result in run.results
        if result.status == "wrong"
    ]
    died = [result.contender.name for result in run.results if result.status == "died"]
    if died:
        told.append(f"Stopped midway, so not compared: {joined(died)}.")
    absent = _absent(run)
    if absent:
        told.append(f"Not here, so not compared: {joined(absent)}. What brings them stands below.")
    mine = ours(run)
    if mine and mine.contender.kind == TUNED and mine.reason:
        told.append(f"{mine.contender.name} is what edgefeat tune found quickest here: {mine.reason}.")
    if any(result.contender.kind == "mediapipe" for result in kept(run)):
        told.append("MediaPipe has no setting for its threads: it took as many as it takes by itself.")
    if mine and mine.contender.kind != TUNED:
        told.append(
            f"edgefeat's tuned default is not in this run; {mine.contender.name} was its quickest on "
            f"{run.photos[0].name}, picked after the measurement, which flatters it a little."
        )
    return told


def _absent(run: Run) -> list[str]:
    """The names of what could not be started; an engine by itself, where edgefeat runs nothing on it."""
    used = {result.contender.engine for result in run.results if result.status != "absent"}
    names = (
        f"edgefeat on {one.engine}" if one.kind == "edgefeat" and one.engine not in used else one.name
        for one in (result.contender for result in run.results if result.status == "absent")
    )
    return list(dict.fromkeys(names))


def _fidelity(run: Run) -> list[str]:
    """What the headline's features lose, and what int8 does."""
    mine, exact = ours(run), next((quality for quality in run.quality if quality.side == "tensorflow"), None)
    told = []
    if mine and mine.minimum_cosine is not None and mine.minimum_cosine < _AS_GOOD_AS_EQUAL:
        told.append(
            f"{mine.contender.name}'s features are near those of {run.reference}, not equal: "
            f"the worst photo's cosine is {mine.minimum_cosine:.4f}."
        )
    default = quality_of(run, mine) if mine else None
    own = [quality for quality in run.quality if quality.side == "edgefeat"]
    cut = [quality for quality in own if quality is default or "int8" in quality.name]
    # The same file in two engines, or with more threads, has the same features.
    distinct = {(round(quality.mean_cosine, 4), quality.nearest_accuracy): quality for quality in reversed(cut)}
    return told + [_cost_of(quality, exact) for quality in reversed(distinct.values())]


def _cost_of(quality: Quality, exact: Quality | None) -> str:
    against = f" against {exact.nearest_accuracy:.1%}" if exact else ""
    return (
        f"{quality.name}: mean cosine {quality.mean_cosine:.4f}, {quality.overlap:.0%} of the ten nearest neighbours "
        f"kept, nearest-neighbour accuracy {quality.nearest_accuracy:.1%}{against} "
        f"({quality.photos} photos, {quality.classes} classes)."
    )


def _circumstances(run: Run) -> list[str]:
    told = []
    if run.before.load is not None and run.before.load > run.machine.cores / 2:
        told.append(
            f"The machine was not idle: load {plain(run.before.load)} on {run.machine.cores} cores when the run began."
        )
    if run.after is None:
        told.append("The run was interrupted: these are its complete rounds.")
    flags = {state.throttled for state in (run.before, run.after) if state and state.throttled}
    if any(int(flag, 16) & _THROTTLED for flag in flags):
        told.append(
            f"The board reports low voltage, heat or a capped clock since it started ({joined(sorted(flags))})."
        )
    if any(Path(file).name.startswith("made-up") for photos in run.photos for file in photos.files):
        told.append(
            "Some of the pictures were made up, not photographed: they may decode quicker or slower than yours."
        )
    told.append(
        "Pictures among many: each contender works for some 50 ms before each picture that is timed, so the first one "
        "after a pause takes longer."
    )
    counts = [
        len(series.seconds)
        for result in kept(run)
        for photos in run.photos
        if (series := series_of(result, photos.name))
    ]
    if counts and min(counts) < FEWEST:
        told.append(
            f"Some medians are of {min(counts)} samples: below {FEWEST} the interval given is their whole range."
        )
    told.append(
        "One machine's figures. Larger photos are mostly decoding, which every contender has to do; ratios differ with "
        "processor, threads and photos, so run it where it matters to you."
    )
    return told
