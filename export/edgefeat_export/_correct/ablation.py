"""What each piece of a correction brings: figures with the pieces switched on one after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgefeat._fidelity import measure
from edgefeat_export._convert import onnx_int8, tflite_int8
from edgefeat_export._convert.flatbuffer import SIGNATURE
from edgefeat_export._convert.graph import INPUT
from edgefeat_export._correct.early import medians, runner
from edgefeat_export._correct.files import Models, write_corrected
from edgefeat_export._correct.record import NONE, Correction
from edgefeat_export._correct.sections import prefix, sections

__all__ = ["CUMULATIVE", "Row", "ablation", "features"]

#: What is switched on, one more each time, with what the row is called.
CUMULATIVE = (
    ("stock", NONE),
    ("+ bias correction", Correction(basis=False, rounding=False, pairs=False)),
    ("+ rounding by output error", Correction(basis=False, pairs=False)),
    ("+ pairs that do not saturate", Correction(basis=False)),
    ("+ better bases", Correction()),
)


@dataclass(frozen=True, slots=True)
class Row:
    """Fidelity of one int8 file to the float32 file, its bytes, and the median seconds of a picture on one thread.

    `float_sections` counts those at the beginning that stay float. Of several taps the first is measured.
    """

    pieces: str
    format: str
    float_sections: int
    mean_cosine: float
    minimum_cosine: float
    overlap: float | None
    size: int
    seconds: float


def ablation(
    float32: Models,
    pictures: NDArray[np.uint8],
    checking: NDArray[np.uint8],
    folder: Path,
    *,
    float_sections: int = 0,
    reference: NDArray[np.float32] | None = None,
) -> list[Row]:
    """A row per format for each of `CUMULATIVE`, and with `float_sections` for all of it with so many in float.

    Calibrated and corrected on `pictures`, measured on `checking` against `reference`, or against the float32 file
    where there is none; all are timed in one interleaved run. Files are left in `folder`.
    """
    expected = features(float32.tflite, checking) if reference is None else reference
    made = list(_files(float32, pictures, folder, float_sections))
    seconds = medians([runner(path, checking[:1]) for *_, path in made])
    rows = []
    for (pieces, count, path), taken in zip(made, seconds, strict=True):
        found = measure(features(path, checking), expected)
        ends = (found.mean_cosine, found.minimum_cosine, found.overlap)
        rows.append(Row(pieces, path.suffix[1:], count, *ends, path.stat().st_size, taken))
    return rows


def features(path: Path, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The features of a model's first tap, by its own engine."""
    if path.suffix == ".tflite":
        run = Interpreter(str(path), num_threads=2).get_signature_runner(SIGNATURE)
        index = Interpreter(str(path)).get_output_details()[0]["name"]
        return np.concatenate([run(**{INPUT: picture[np.newaxis]})[index] for picture in pictures])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {INPUT: picture[np.newaxis]})[0] for picture in pictures])


def _files(
    float32: Models, pictures: NDArray[np.uint8], folder: Path, float_sections: int
) -> Iterator[tuple[str, int, Path]]:
    """The rows' names, numbers of float sections and files."""
    parts = sections(float32.onnx, float32.tflite)
    wanted = [(name, correction, 0) for name, correction in CUMULATIVE]
    if float_sections:
        wanted.append((f"+ first {float_sections} layers in float", CUMULATIVE[-1][1], float_sections))
    for index, (name, correction, count) in enumerate(wanted):
        nodes, operators = prefix(parts[:count])
        source = Models(folder / f"{index}-float32.tflite", folder / f"{index}-float32.onnx")
        if correction:
            write_corrected(float32, source, pictures, correction, nodes)
        else:
            source = float32
        tflite, onnx = folder / f"{index}-int8.tflite", folder / f"{index}-int8.onnx"
        tflite_int8.int8(source.tflite, pictures, tflite, kept=operators)
        onnx_int8.int8(source.onnx, pictures, onnx, kept=nodes)
        yield from ((name, count, tflite), (name, count, onnx))
