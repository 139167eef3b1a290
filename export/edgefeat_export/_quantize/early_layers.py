"""Whether the first layers cost less in float: on some processors they do, and the features are nearer."""

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

#: Shares of the sections that are tried: beyond them layers have few positions and many channels, where int8 is faster.
_SHARES = (1 / 12, 1 / 8, 1 / 6, 1 / 4, 2 / 5)

#: Times are taken on files that are calibrated on so many pictures: what the scales are does not change them.
_PICTURES = 2

#: Rounds that are timed, after some in which caches and clocks settle: fewer of a network that takes so long that
#: they would last more than a few seconds.
_ROUNDS, _FEWEST, _WARMING = 60, 15, 3
_SECONDS = 6.0

#: A time this much longer is not slower: medians differ so much by themselves.
_SLOWER = 1.02


@dataclass(frozen=True, slots=True)
class EarlyFloat:
    """How long a picture takes with the first sections in float, in seconds, by the number of sections.

    0 is all int8. Medians of one interleaved run on this machine, one thread; `engine` is litert or onnxruntime.
    """

    engine: str
    seconds: Mapping[int, float]

    @property
    def sections(self) -> int:
        """The most sections with which the file is not slower than all int8: 0 where there are none."""
        return max(count for count, taken in self.seconds.items() if taken <= self.seconds[0] * _SLOWER)


def propose(parts: Sequence[Section]) -> tuple[int, ...]:
    """The numbers of first sections that are worth a try, in rising order."""
    return tuple(sorted({count for share in _SHARES if (count := round(len(parts) * share))}))


def time_prefixes(
    float32: Models, parts: Sequence[Section], pictures: NDArray[np.uint8]
) -> tuple[EarlyFloat, EarlyFloat]:
    """LiteRT's and onnxruntime's times for each proposed number of first sections, and for none."""
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
    """One inference of `picture` (1, H, W, 3) by the file's engine, on one thread, as a call."""
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
    """The median seconds of each call, all called in turn, round by round."""
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
