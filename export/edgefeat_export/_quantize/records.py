"""What is decided and done for int8, as records: rungs of the ladder, corrections, what layers in float gain and cost.

Sections are contiguous groups of layers, each a layer with weights and what follows it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from edgefeat._bundle.json_records import to_json
from edgefeat_export._quantize.correction.record import CorrectionReport

__all__ = ["Corrected", "EarlySections", "Rung", "Sensitivity"]


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung of the ladder: which sections stay in float, and which corrections are allowed, both by name.

    No `pieces` are the stock tools'. `formats` are those that int8 files are to be made of for this rung.
    """

    float_sections: tuple[str, ...]
    pieces: tuple[str, ...]
    formats: tuple[str, ...] = ("tflite", "onnx")

    @property
    def folder_name(self) -> str:
        """Return the name of the folder for the rung's files."""
        return f"rung-{hashlib.sha256(json.dumps(to_json(self)).encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Corrected:
    """Weights corrected for `rung`: how many sections there are, which operations stay float, what was kept."""

    rung: Rung
    sections: int
    float_operations: tuple[str, ...]
    float_operators: tuple[int, ...]
    pieces: tuple[str, ...]
    report: CorrectionReport


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Groups of neighbouring sections, first the group that gains the most mean cosine when it stays in float.

    `losses` are what is left of the mean cosine's distance from 1, without correction, with the first 0, 1, 2... groups
    in float.
    """

    groups: tuple[tuple[str, ...], ...]
    gains: tuple[float, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EarlySections:
    """The first sections, by name, that cost no more in float than in int8, for each format; often none."""

    tflite: tuple[str, ...] = ()
    onnx: tuple[str, ...] = ()

    def of(self, form: str) -> tuple[str, ...]:
        """Return those of a format."""
        return self.tflite if form == "tflite" else self.onnx
