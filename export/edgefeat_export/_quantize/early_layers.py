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
_SECONDS = 6.0

#: A time this much longer counts as equal: medians vary by as much.
_SLOWER = 1.02


@dataclass(frozen=True, slots=True)
class EarlyFloat:
    """Seconds per image with the first sections in float, by the number of sections.

    0 sections is all int8. Medians of one interleaved run on this machine, one thread; `engine` is litert or
    onnxruntime.
    """

    engine: str
    seconds: Mapping[int, float]

    @property
    def sections(self) -> int:
        """The largest number of sections with which the file is not slower than all int8; 0 if there is none."""
        return max(count for count, taken in self.seconds.items() if taken <= self.seconds[0] * _SLOWER)


def propose(parts: Sequence[Section]) -> tuple[int, ...]:
    """Return the numbers of first sections to try, in ascending order."""
    return tuple(sorted({count for share in _SHARES if (count := round(len(parts) * share))}))


def time_prefixes(
    float32: Models, parts: Sequence[Section], pictures: NDArray[np.uint8]
) -> tuple[EarlyFloat, EarlyFloat]:
    """Return LiteRT's and onnxruntime's times for each proposed number of first sections, and for none."""
    counts = (0, *propose(parts))
    few = pictures[:_PICTURES]
    with tempfile.TemporaryDirectory() as folder:
        known = tflite_int8.ranges(float32.tflite, few)
        quantized = Path(folder) / "quantized.onnx"
        onnx_int8.quantize(float32.onnx, few, quantized)
        model, source = onnx.load(quantized), onnx.load(float32.onnx)
        tflites, onnxes = [], []
        for count in counts:
            nodes, operators = prefix(parts[:count])
            tflites.append(Path(folder) / f"{count}.tflite")
            onnxes.append(Path(folder) / f"{count}.onnx")
            tflite_int8.int8(float32.tflite, few, tflites[-1], kept=operators, known=known)
            onnx.save(onnx_int8.with_float(model, source, set(nodes)), onnxes[-1])
        litert, ort = (medians([runner(path, few[:1]) for path in paths]) for paths in (tflites, onnxes))
    return (
        EarlyFloat("litert", dict(zip(counts, litert, strict=True))),
        EarlyFloat("onnxruntime", dict(zip(counts, ort, strict=True))),
    )


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
