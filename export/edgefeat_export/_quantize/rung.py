"""What the steps that make int8 files tell each other, as records in the workspace.

A rung says which sections stay in float and which corrections are tried; the workspace holds the one to be made next.
Sections are contiguous groups of layers, each a layer with weights and what follows it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from edgefeat._bundle.json_records import from_json, to_json
from edgefeat_export._quantize.correction.record import CorrectionReport
from edgefeat_export._workspace import Workspace

__all__ = ["CORRECTED_FILE", "EARLY_FILE", "SENSITIVITY_FILE", "Corrected", "EarlySections", "Rung", "Sensitivity"]

CORRECTED_FILE, EARLY_FILE, SENSITIVITY_FILE = "corrected.json", "early.json", "sensitivity.json"


@dataclass(frozen=True, slots=True)
class Rung:
    """`float_sections` are names of sections; `pieces` the corrections allowed, by name (none: the stock tools').

    `formats` are those that files are to be made of from the weights corrected for this rung.
    """

    float_sections: tuple[str, ...]
    pieces: tuple[str, ...]
    formats: tuple[str, ...] = ("tflite", "onnx")

    def write(self, work: Workspace) -> None:
        """Makes this the rung that the steps make."""
        (work.folder / "rung.json").write_text(json.dumps(to_json(self)))

    def folder(self, work: Workspace) -> Path:
        """Where the corrected weights of this rung are: each has its own, since both formats come back to some."""
        name = hashlib.sha256(json.dumps(to_json(self)).encode()).hexdigest()[:16]
        return work.folder / f"rung-{name}"

    def made(self, work: Workspace) -> bool:
        """Whether the weights are already corrected for this rung, as for the other format."""
        return (self.folder(work) / CORRECTED_FILE).exists()

    @classmethod
    def read(cls, work: Workspace) -> Rung:
        """The rung to be made."""
        return from_json(cls, json.loads((work.folder / "rung.json").read_text()))


@dataclass(frozen=True, slots=True)
class Corrected:
    """What the step did: the names of all sections, of the float ones' operations, and the corrections kept."""

    sections: tuple[str, ...]
    float_operations: tuple[str, ...]
    float_operators: tuple[int, ...]
    pieces: tuple[str, ...]
    report: CorrectionReport

    @classmethod
    def read(cls, work: Workspace) -> Corrected:
        """What the step did for the rung to be made."""
        return from_json(cls, json.loads((Rung.read(work).folder(work) / CORRECTED_FILE).read_text()))


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Groups of neighbouring sections, the one first whose staying in float gains the most mean cosine.

    `losses` are what is left of the mean cosine's distance from 1, without correction, with the first 0, 1, 2... groups
    in float.
    """

    groups: tuple[tuple[str, ...], ...]
    gains: tuple[float, ...]
    losses: tuple[float, ...]

    @classmethod
    def read(cls, work: Workspace) -> Sensitivity:
        """What the step found."""
        return from_json(cls, json.loads((work.folder / SENSITIVITY_FILE).read_text()))


@dataclass(frozen=True, slots=True)
class EarlySections:
    """The first sections by name, as many as cost no more in float than in int8, by format; often none."""

    tflite: tuple[str, ...]
    onnx: tuple[str, ...]

    @classmethod
    def read(cls, work: Workspace) -> EarlySections:
        """What the step found."""
        return from_json(cls, json.loads((work.folder / EARLY_FILE).read_text()))
