"""Find the first layers that are as fast in float as in int8: on some processors they are, and fidelity improves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgefeat_export._convert.graph import INPUT
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._quantize.correction.corrected_files import Models
from edgefeat_export._quantize.correction.sections import Section, prefix

__all__ = ["EarlyFloat", "medians", "propose", "runner", "time_prefixes"]

#: Shares of the sections to try: later layers have few positions and many channels, for which int8 is faster.
_SHARES = (1 / 12, 1 / 8, 1 / 6, 1 / 4, 2 / 5)

#: Images that calibrate the files to be timed: the scales do not affect the time.
_PICTURES = 2

#: Timed rounds, after some rounds to warm up caches and clocks; fewer for a slow network, for which these rounds
#: would take more than a few seconds.
_ROUNDS, _FEWEST, _WARMING = 60, 15, 3
_SECONDS = 3.0

#: A time this much longer counts as equal: medians vary by as much.
_SLOWER = 1.02


@dataclass(frozen=True, slots=True)
class EarlyFloat:
    """Seconds per image with the first sections in float, by the number of sections tried.

    0 sections is all int8. Medians of interleaved runs on this machine, one thread; `engine` is litert or onnxruntime.
    """

    engine: str
    seconds: Mapping[int, float]

    @property
    def sections(self) -> int:
        """The largest number of sections with which the file is not slower than all int8; 0 if there is none."""
        return max(count for count, taken in self.seconds.items() if taken <= self.seconds[0] * _SLOWER)


@dataclass(frozen=True, slots=True)
class _Files:
    """Writes int8 files with the first sections in float, to be timed and not to be used."""

    float32: Models
    parts: Sequence[Section]
    pictures: NDArray[np.uint8]
    folder: Path

    def tflites(self) -> Callable[[int], Path]:
        """Return a function that writes the TFLite file with a number of sections in float."""
        known = tflite_int8.ranges(self.float32.tflite, self.pictures)

        def write(count: int) -> Path:
            path = self.folder / f"{count}.tflite"
            kept = prefix(self.parts[:count])[1]
            tflite_int8.int8(self.float32.tflite, self.pictures, path, kept=kept, known=known)
            return path

        return write

    def onnxes(self) -> Callable[[int], Path]:
        """Return a function that writes the ONNX file with a number of sections in float."""
        quantized = self.folder / "quantized.onnx"
        onnx_int8.quantize(self.float32.onnx, self.pictures, quantized)
        model, source = onnx.load(quantized), onnx.load(self.float32.onnx)

        def write(count: int) -> Path:
            path = self.folder / f"{count}.onnx"
            onnx.save(onnx_int8.with_float(model, source, set(prefix(self.parts[:count])[0])), path)
            return path

        return write


def propose(parts: Sequence[Section]) -> tuple[int, ...]:
    """Return the numbers of first sections to try, in ascending order."""
    return tuple(sorted({count for share in _SHARES if (count := round(len(parts) * share))}))


def time_prefixes(
    float32: Models, parts: Sequence[Section], pictures: NDArray[np.uint8]
) -> tuple[EarlyFloat, EarlyFloat]:
    """Return LiteRT's and onnxruntime's times for no first sections and for those numbers that had to be tried."""
    counts, few = propose(parts), pictures[:_PICTURES]
    with tempfile.TemporaryDirectory() as folder:
        files = _Files(float32, parts, few, Path(folder))
        litert = _searched(files.tflites(), counts, few[:1])
        ort = _searched(files.onnxes(), counts, few[:1])
    return EarlyFloat("litert", litert), EarlyFloat("onnxruntime", ort)


def _searched(write: Callable[[int], Path], counts: Sequence[int], picture: NDArray[np.uint8]) -> dict[int, float]:
    """Return seconds by number of sections in float, for 0 and as many of `counts` as it takes to find the largest.

    The search starts in the middle: from a number that costs nothing it goes to larger ones, otherwise to smaller ones.
    """
    if not counts:
        return {0: 0.0}
    none = runner(write(0), picture)
    seconds: dict[int, float] = {}

    def costs_nothing(index: int) -> bool:
        without, taken = medians([none, runner(write(counts[index]), picture)])
        base = seconds.setdefault(0, without)
        seconds[counts[index]] = taken * base / without  # the clock may have changed since the first run
        return taken <= without * _SLOWER

    middle = len(counts) // 2
    step = 1 if costs_nothing(middle) else -1
    index = middle + step
    while 0 <= index < len(counts) and costs_nothing(index) == (step > 0):
        index += step
    return seconds


def runner(path: Path, picture: NDArray[np.uint8]) -> Callable[[], Any]:
    """Return a call that runs one inference of `picture` (1, H, W, 3) by the file's engine, on one thread."""
    if path.suffix == ".tflite":
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ascontiguousarray(picture))
        return interpreter.invoke  # type: ignore[no-any-return]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {INPUT: picture})


def medians(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the median seconds of each call, with all called in turn, round by round."""
    taken: list[list[float]] = []
    started = perf_counter()
    while len(taken) < _WARMING + _ROUNDS:
        if perf_counter() - started > _SECONDS and len(taken) >= _WARMING + _FEWEST:
            break
        row = []
        for call in calls:
            began = perf_counter()
            call()
            row.append(perf_counter() - began)
        taken.append(row)
    return [float(value) for value in np.median(taken[_WARMING:], axis=0)]
