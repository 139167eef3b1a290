"""From the float32 files of both formats to corrected ones, which both int8 conversions start from."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from edgefeat import ExportError
from edgefeat._fidelity import cosines
from edgefeat_export._convert import flatbuffer, onnx_int8
from edgefeat_export._convert.graph import INPUT
from edgefeat_export._correct.layers import constants, find_layers, set_constants
from edgefeat_export._correct.record import LADDER, NONE, Correction, CorrectionReport, Range
from edgefeat_export._correct.walk import corrected_constants
from edgefeat_export._correct.write import matched, write_tflite

__all__ = ["Models", "correct", "mean_cosine", "narrowed", "write_corrected"]

#: A loss of cosine this much greater is no greater: so much it differs from one set of pictures to another.
_NOISE = 1.05


@dataclass(frozen=True, slots=True)
class Models:
    """One network in both formats; the ONNX file was made from the TFLite file."""

    tflite: Path
    onnx: Path


def correct(
    float32: Models,
    corrected: Models,
    pictures: NDArray[np.uint8],
    checking: NDArray[np.uint8],
    *,
    kept: Collection[str] = (),
    ladder: Sequence[Correction] = LADDER,
) -> CorrectionReport:
    """Write `corrected`, from which both int8 conversions make the same integers.

    `pictures` and `checking`, uint8 (N, H, W, 3), have none in common: the one are corrected on, and on the other the
    int8 features must come out no further from the float ones than without correction; else the next of `ladder` is
    tried, down to `NONE`, which copies. ONNX nodes in `kept` are to stay float and so keep their weights.
    """
    began = time.perf_counter()
    without = mean_cosine(float32.onnx, float32.onnx, pictures, checking, kept)
    for correction in [*ladder, NONE]:
        if not correction:
            break
        layers, skipped, ranges = write_corrected(float32, corrected, pictures, correction, kept)
        reached = mean_cosine(float32.onnx, corrected.onnx, pictures, checking, kept, ranges)
        if 1 - reached <= (1 - without) * _NOISE:
            seconds = time.perf_counter() - began
            return CorrectionReport(
                correction, ranges, layers, skipped, len(kept), len(pictures), without, reached, seconds
            )
    shutil.copyfile(float32.tflite, corrected.tflite)
    shutil.copyfile(float32.onnx, corrected.onnx)
    seconds = time.perf_counter() - began
    return CorrectionReport(NONE, (), 0, (), len(kept), len(pictures), without, without, seconds)


def write_corrected(
    float32: Models,
    corrected: Models,
    pictures: NDArray[np.uint8],
    correction: Correction,
    kept: Collection[str],
) -> tuple[int, tuple[str, ...], tuple[Range, ...]]:
    """Write `corrected` whatever comes of it.

    How many layers were corrected, the names of those skipped, and the ranges for both int8 conversions.
    """
    model, tflite = onnx.load(float32.onnx), flatbuffer.read(float32.tflite)
    stay = {*onnx_int8.float_nodes(model), *kept}
    found = find_layers(model)
    known = constants(model)
    places = matched(tflite, found, known)
    layers = [layer for layer in found if layer.node in places]
    # Many small products: handing them to several threads takes longer than they do, thirty times on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        changed, ranges = corrected_constants(model, layers, stay, pictures, correction)
    write_tflite(tflite, layers, known, changed)
    corrected.tflite.write_bytes(flatbuffer.serialize(tflite))
    set_constants(model, changed)
    onnx.save(model, corrected.onnx)
    skipped = tuple(layer.node for layer in found if layer.node not in places and layer.node not in stay)
    shared = {tensor.name.decode() for tensor in tflite.subgraphs[0].tensors}
    named = tuple(Range(name, *ends) for name, ends in ranges.items() if name in shared)
    return sum(layer.node not in stay for layer in layers), skipped, named


def mean_cosine(
    float32: Path,
    candidate: Path,
    pictures: NDArray[np.uint8],
    checking: NDArray[np.uint8],
    kept: Collection[str] = (),
    ranges: Collection[Range] = (),
) -> float:
    """Of the features of `candidate` as int8, calibrated on `pictures`, to those of `float32`, both ONNX files.

    The mean over the pictures to check on; of several taps the worst counts.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "int8.onnx"
        onnx_int8.int8(candidate, pictures, made, kept=kept, narrowed=narrowed(ranges))
        ours = _features(made, checking)
    means = [cosines(a, b).mean() for a, b in zip(ours, _features(float32, checking), strict=True)]
    return float(min(means))


def narrowed(ranges: Collection[Range]) -> dict[str, tuple[float, float]]:
    """As both int8 conversions take them."""
    return {entry.tensor: (entry.least, entry.greatest) for entry in ranges}


def _features(path: Path, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = [session.run(None, {INPUT: pictures[i : i + 1]}) for i in range(len(pictures))]
    if not rows:
        raise ExportError("0 pictures to check on (allowed: 1 or more)")
    return [np.concatenate(tap) for tap in zip(*rows, strict=True)]
