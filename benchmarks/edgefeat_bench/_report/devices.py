"""Files of `edgefeat bench --json`, of photos or of frames, side by side: how owners of boards contribute figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from edgefeat import ArgumentError
from edgefeat._bundle.json_records import RecordError, from_json
from edgefeat._commands.bench.frames import FrameRun
from edgefeat._commands.bench.measurement import DeviceRun

__all__ = ["device_differences", "device_rows", "device_runs"]

Device: TypeAlias = DeviceRun | FrameRun

#: Of the files that `edgefeat bench --json` writes.
_FORMAT = 1
#: Aspects that make figures of two devices hard to compare.
_ASPECTS: dict[str, Callable[[Any], object]] = {
    "bundle": lambda run: f"{run.bundle} ({run.identity[:12]})",
    "edgefeat": lambda run: run.edgefeat,
}
_OF_PHOTOS: dict[str, Callable[[DeviceRun], object]] = {
    "decoding": lambda run: run.decoding,
    "photos": lambda run: f"{len(run.photos)} of {_megapixels(run)} megapixels, beginning with {run.photos[0]}",
}
_OF_FRAMES: dict[str, Callable[[FrameRun], object]] = {"frame": lambda run: run.frame.name}


def device_runs(paths: Sequence[Path]) -> list[Device] | None:
    """Return the runs of `edgefeat bench`, or None if no file is one. Raises ArgumentError if they are of two kinds."""
    found = [_device_run(path) for path in paths]
    runs = [run for run in found if run is not None]
    if runs and len(runs) < len(found):
        other = paths[found.index(None)]
        raise ArgumentError(
            f"{other} is not a result of `edgefeat bench`, and the others are (allowed: all of one kind)"
        )
    if len({type(run) for run in runs}) > 1:
        other = next(path for path, run in zip(paths, runs, strict=True) if type(run) is not type(runs[0]))
        raise ArgumentError(f"{other} is of photos and {paths[0]} of frames, or the reverse (allowed: all of one kind)")
    return runs or None


def _device_run(path: Path) -> Device | None:
    try:
        told = json.loads(path.read_text())
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        return None  # whoever reads it as another kind says what is wrong
    run: Device | None = None
    with suppress(RecordError):
        run = from_json(DeviceRun, told)
    with suppress(RecordError):
        run = run or from_json(FrameRun, told)
    if run is not None and run.format != _FORMAT:
        raise ArgumentError(
            f"{path} has format {run.format}, this edgefeat-bench reads {_FORMAT}: measure again with: edgefeat bench"
        )
    return run


def device_differences(runs: Sequence[Device], names: Sequence[str]) -> list[str]:
    """Return a line for each aspect in which the runs differ, and one for each device that was slowed down."""
    lines = []
    aspects: dict[str, Callable[[Any], object]] = _OF_PHOTOS if isinstance(runs[0], DeviceRun) else _OF_FRAMES
    for aspect, value in (_ASPECTS | aspects).items():
        values = [str(value(run)) for run in runs]
        if len(set(values)) > 1:
            each = "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
            lines.append(f"different {aspect}: {each}")
    for name, run in zip(names, runs, strict=True):
        if isinstance(run, DeviceRun) and run.after.throttled is not None and int(run.after.throttled, 16):
            lines.append(f"{name} was throttled or had too little voltage: {run.after.throttled}")
    return lines


def device_rows(runs: Sequence[Device], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table: the device of each file, and its medians in milliseconds."""
    stages = ["decode", "resize", "inference", "total"] if isinstance(runs[0], DeviceRun) else ["feature"]
    rows = []
    for name, run in zip(names, runs, strict=True):
        measured = [getattr(run, stage) for stage in stages]
        memory = "-" if run.peak_memory_bytes is None else f"{run.peak_memory_bytes / 1e6:.0f}"
        cells = [name, f"{run.device}, {run.cores} cores", f"{run.variant} on {run.engine} {run.engine_version}"]
        cells += [str(run.threads), f"{run.load:.0f}", *(f"{one.p50:.2f}" for one in measured)]
        rows.append([*cells, f"{measured[-1].p90:.2f}", memory])
    return ["file", "device", "variant", "threads", "load", *stages, "p90", "MB"], rows


def _megapixels(run: DeviceRun) -> str:
    least, most = min(run.pixels) / 1e6, max(run.pixels) / 1e6
    return f"{least:.1f}" if f"{least:.1f}" == f"{most:.1f}" else f"{least:.1f} to {most:.1f}"
