"""Make corrected float32 files of both formats, from which both int8 conversions start."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from edgefeat import ExportError
from edgefeat._bundle.fidelity import cosines
from edgefeat._engines.device.memory import trim_heap
from edgefeat_export._convert.graph import INPUT
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._quantize.correction.layers import constants, find_layers, set_constants
from edgefeat_export._quantize.correction.pieces import LADDER, NONE, Correction, CorrectionReport
from edgefeat_export._quantize.correction.ranges import Range
from edgefeat_export._quantize.correction.rounding_pass import corrected_constants
from edgefeat_export._quantize.correction.tflite_weights import matched, write_tflite

__all__ = ["Comparison", "Models", "correct", "features_cosine", "write_corrected"]

#: A cosine loss up to this many times the stock tools' counts as equal: a few images cannot show the difference.
_NOISE = 1.02

#: So does a loss larger by up to this: if almost all stays in float, both losses are near zero, their ratio noise.
_LEAST = 1e-5


@dataclass(frozen=True, slots=True)
class Models:
    """One network in both formats; the ONNX file was made from the TFLite file."""

    tflite: Path
    onnx: Path


class Comparison(Protocol):
    """Fidelity of int8 files to the float files: mean cosines, one for each format that counts.

    They are iterators, so that a second file is not made if the first is not good enough.
    """

    def without(self) -> Iterator[float]:
        """Yield the mean cosines of the stock tools' files."""

    def reached(self, candidate: Models, ranges: Mapping[str, Range]) -> Iterator[float]:
        """Yield the mean cosines of the files made from corrected ones, with these ranges of activations."""


def correct(
    float32: Models,
    corrected: Models,
    pictures: NDArray[np.uint8],
    *,
    kept: Collection[str] = (),
    ladder: Sequence[Correction] = LADDER,
    comparison: Comparison,
) -> CorrectionReport:
    """Write `corrected`, from which both int8 conversions make the same integers.

    Weights are corrected on `pictures`, uint8 (N, H, W, 3). By `comparison`, which has other images, the features of
    int8 files must be at least as close to the float features as without correction. If they are not, the next
    correction of `ladder` is tried; after the last, the float files are copied. ONNX nodes in `kept`, those of whole
    sections, stay in float and keep their weights.
    """
    without = tuple(comparison.without())
    for correction in ladder:
        layers, skipped, ranges = write_corrected(float32, corrected, pictures, correction, kept)
        reached: list[float] = []
        for cosine in comparison.reached(corrected, ranges):
            reached.append(cosine)
            if not _is_as_near(cosine, without[len(reached) - 1]):
                break
        else:
            break
    else:
        correction, reached, layers, skipped, ranges = NONE, [*without], 0, (), {}
        shutil.copyfile(float32.tflite, corrected.tflite)
        shutil.copyfile(float32.onnx, corrected.onnx)
    return CorrectionReport(correction, layers, skipped, ranges, min(without), min(reached))


def write_corrected(
    float32: Models,
    corrected: Models,
    pictures: NDArray[np.uint8],
    correction: Correction,
    kept: Collection[str],
) -> tuple[int, tuple[str, ...], dict[str, Range]]:
    """Write `corrected` without comparing it.

    Return how many layers were corrected, the names of those skipped, and the ranges chosen for activations, by name.
    """
    model, tflite = onnx.load(float32.onnx), flatbuffer.read(float32.tflite)
    stay = {*onnx_int8.float_nodes(model), *kept}
    found = find_layers(model)
    known = constants(model)
    places = matched(tflite, found, known)
    layers = [layer for layer in found if layer.node in places]
    # Many small products: several threads are slower than one here, up to thirty times on a busy machine.
    with threadpool_limits(1, user_api="blas"):
        changed, ranges = corrected_constants(model, layers, known, stay, pictures, correction)
    write_tflite(tflite, layers, known, changed)
    del known  # the weights are in memory several times
    corrected.tflite.write_bytes(flatbuffer.serialize(tflite))
    del tflite
    set_constants(model, changed)
    del changed
    onnx.save(model, corrected.onnx)
    trim_heap()  # a conversion follows, which takes as much again
    skipped = tuple(layer.node for layer in found if layer.node not in places and layer.node not in stay)
    return sum(layer.node not in stay for layer in layers), skipped, ranges


def features_cosine(made: Path, float32: Path, checking: NDArray[np.uint8]) -> float:
    """Return the mean cosine of the features of `made` to those of `float32`, a file of its format.

    The mean is over the images in `checking`; of several taps the worst counts.
    """
    ours = _features(made, checking)
    means = [cosines(a, b).mean() for a, b in zip(ours, _features(float32, checking), strict=True)]
    return float(min(means))


def _is_as_near(cosine: float, stock: float) -> bool:
    """Return whether a mean cosine is as good as the stock tools', apart from noise."""
    return 1 - cosine <= (1 - stock) * _NOISE + _LEAST


def _features(path: Path, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the features (N, dimensions) of each tap, computed by the file's own engine."""
    if not len(pictures):
        raise ExportError("0 images to measure fidelity on (allowed: 1 or more)")
    run = _engine(path)
    rows = [run(picture[np.newaxis]) for picture in pictures]
    return [np.concatenate(tap) for tap in zip(*rows, strict=True)]


def _engine(path: Path) -> Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]]:
    """Return a function from an image (1, H, W, 3) to the features of each tap, always in the same order."""
    if path.suffix == ".tflite":
        runner = Interpreter(str(path)).get_signature_runner(flatbuffer.SIGNATURE)
        names = sorted(runner.get_output_details())
        return lambda picture: list(map(runner(**{INPUT: picture}).__getitem__, names))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda picture: session.run(None, {INPUT: picture})
