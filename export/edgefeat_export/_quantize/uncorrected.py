"""The int8 files that the stock tools make without any correction: made once, then compared with repeatedly."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._quantize.correction.corrected_files import Models, features_cosine
from edgefeat_export._quantize.correction.ranges import Range
from edgefeat_export._workspace import Workspace

__all__ = ["Guard", "Uncorrected"]


@dataclass(frozen=True, slots=True)
class Uncorrected:
    """The float32 files, the ONNX file fully in int8, and the ranges from which the TFLite int8 file is made."""

    float32: Models
    quantized: Path
    ranges: tflite_int8.Ranges

    @classmethod
    def of(cls, work: Workspace, float32: Models) -> Uncorrected:
        """Return the stock tools' results in the workspace, and make them first if necessary."""
        quantized, ranges = work.stock("onnx"), work.stock("json")
        if not ranges.exists():
            onnx_int8.quantize(float32.onnx, work.quantizing, quantized)
            found = tflite_int8.ranges(float32.tflite, work.quantizing)
            text = json.dumps(found, default=lambda value: value.tolist())
            unfinished = ranges.with_suffix(".part")
            unfinished.write_text(text)
            os.replace(unfinished, ranges)
        known = {
            tensor: {end: np.array(value, np.float32) for end, value in ends.items()}
            for tensor, ends in json.loads(ranges.read_text()).items()
        }
        return cls(float32, quantized, known)

    def onnx(self, output: Path, kept: Collection[str]) -> None:
        """Write the ONNX file with the nodes `kept` in float."""
        # Read each time: a large network would take a gigabyte for as long as weights are corrected.
        onnx.save(onnx_int8.with_float(onnx.load(self.quantized), onnx.load(self.float32.onnx), set(kept)), output)

    def tflite(self, output: Path, kept: Collection[int], pictures: NDArray[np.uint8]) -> None:
        """Write the TFLite file with the operators `kept` in float."""
        tflite_int8.int8(self.float32.tflite, pictures, output, kept=kept, known=self.ranges)


@dataclass(frozen=True, slots=True)
class Guard:
    """Compares int8 files from corrected weights with the stock tools', on images that were not used to correct.

    Only the `formats` that will be made from the corrected files are compared; `int8` is the folder for the files made
    last. `nodes` and `operators` stay in float.
    """

    stock: Uncorrected
    int8: Models
    formats: tuple[str, ...]
    nodes: tuple[str, ...]
    operators: tuple[int, ...]
    calibrating: NDArray[np.uint8]
    checking: NDArray[np.uint8]

    def without(self) -> Iterator[float]:
        """Yield the mean cosine to float of the stock tools' file in each format."""
        with tempfile.TemporaryDirectory() as folder:
            made = Models(Path(folder) / "stock.tflite", Path(folder) / "stock.onnx")
            if "onnx" in self.formats:
                self.stock.onnx(made.onnx, self.nodes)
                yield features_cosine(made.onnx, self.stock.float32.onnx, self.checking)
            if "tflite" in self.formats:
                self.stock.tflite(made.tflite, self.operators, self.calibrating)
                yield features_cosine(made.tflite, self.stock.float32.tflite, self.checking)

    def reached(self, candidate: Models, ranges: Mapping[str, Range]) -> Iterator[float]:
        """Yield the mean cosine to float of `candidate` as int8, with `ranges` of its activations, in each format."""
        if "onnx" in self.formats:
            onnx_int8.quantize(candidate.onnx, self.calibrating, self.int8.onnx, kept=self.nodes, chosen=ranges)
            yield features_cosine(self.int8.onnx, self.stock.float32.onnx, self.checking)
        if "tflite" in self.formats:
            source, made = candidate.tflite, self.int8.tflite
            tflite_int8.int8(source, self.calibrating, made, kept=self.operators, chosen=ranges)
            yield features_cosine(self.int8.tflite, self.stock.float32.tflite, self.checking)
