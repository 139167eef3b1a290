"""Files of `edgefeat bench --json` side by side: how owners of boards compare and contribute figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from edgefeat import ArgumentError
from edgefeat._bundle.json_records import RecordError, from_json
from edgefeat._commands.bench.measurement import DeviceRun, Stage

__all__ = ["device_differences", "device_rows", "device_runs"]

#: Aspects that make figures of two devices hard to compare.
_ASPECTS: dict[str, Callable[[DeviceRun], object]] = {
    "bundle": lambda run: f"{run.bundle} ({run.identity[:12]})",
    "decoding": lambda run: run.decoding,
    "photos": lambda run: f"{len(run.photos)} of {_megapixels(run)} megapixels, {run.photos[0]} and so on",
    "edgefeat": lambda run: run.edgefeat,
}


def device_runs(paths: Sequence[Path]) -> list[DeviceRun] | None:
    """Return the runs of `edgefeat bench`, or None if no file is one. Raises ArgumentError if only some are."""
    found = [_device_run(path) for path in paths]
    runs = [run for run in found if run is not None]
    if runs and len(runs) < len(found):
        other = paths[found.index(None)]
        raise ArgumentError(
            f"{other} is not a result of `edgefeat bench`, and the others are (allowed: all of one kind)"
        )
    return runs or None


def _device_run(path: Path) -> DeviceRun | None:
    try:
        return from_json(DeviceRun, json.loads(path.read_text()))
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecordError):
        return None  # whoever reads it as another kind says what is wrong


def device_differences(runs: Sequence[DeviceRun], names: Sequence[str]) -> list[str]:
    """Return a line for each aspect in which the runs differ, and one for each device that was slowed down."""
    lines = []
    for aspect, value in _ASPECTS.items():
        values = [str(value(run)) for run in runs]
        if len(set(values)) > 1:
            each = "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
            lines.append(f"different {aspect}: {each}")
    for name, run in zip(names, runs, strict=True):
        if run.after.throttled is not None and int(run.after.throttled, 16):
            lines.append(f"{name} was throttled or had too little voltage: {run.after.throttled}")
    return lines


def device_rows(runs: Sequence[DeviceRun], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table: the device of each file, and its medians in milliseconds."""
    header = ["file", "device", "variant", "threads", "load", "decode", "resize", "inference", "total", "p90", "MB"]
    rows = []
    for name, run in zip(names, runs, strict=True):
        memory = "-" if run.peak_memory_bytes is None else f"{run.peak_memory_bytes / 1e6:.0f}"
        cells = [name, f"{run.device}, {run.cores} cores", f"{run.variant} on {run.engine} {run.engine_version}"]
        cells += [str(run.threads), f"{run.load:.0f}"]
        cells += [_median(stage) for stage in (run.decode, run.resize, run.inference, run.total)]
        rows.append([*cells, f"{run.total.p90:.2f}", memory])
    return header, rows


def _median(stage: Stage) -> str:
    return f"{stage.p50:.2f}"


def _megapixels(run: DeviceRun) -> str:
    least, most = min(run.pixels) / 1e6, max(run.pixels) / 1e6
    return f"{least:.1f}" if f"{least:.1f}" == f"{most:.1f}" else f"{least:.1f} to {most:.1f}"
