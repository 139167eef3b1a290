"""What the steps that make int8 files tell each other, as records in the workspace.

A rung says which sections stay in float and which corrections are tried; the workspace holds the one to be made next.
Sections are contiguous groups of layers, each a layer with weights and what follows it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from edgefeat._records import from_json, to_json
from edgefeat_export._correct.record import CorrectionReport
from edgefeat_export._workspace import Workspace

__all__ = ["EARLY_FILE", "SENSITIVITY_FILE", "Corrected", "EarlySections", "Rung", "Sensitivity"]

EARLY_FILE, SENSITIVITY_FILE = "early.json", "sensitivity.json"


@dataclass(frozen=True, slots=True)
class Rung:
    """`float_sections` are names of sections; `pieces` the corrections allowed, by name (none: the stock tools')."""

    float_sections: tuple[str, ...]
    pieces: tuple[str, ...]

    def write(self, work: Workspace) -> None:
        """Makes this the rung that the steps make."""
        (work.folder / "rung.json").write_text(json.dumps(to_json(self)))

    def made(self, work: Workspace) -> bool:
        """Whether the weights in the workspace are already corrected for this rung, as for the other format."""
        return (work.folder / "corrected.json").exists() and Rung.read(work) == self

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
        """What the last step of the kind did."""
        return from_json(cls, json.loads((work.folder / "corrected.json").read_text()))


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Groups of neighbouring sections, the one first whose staying in float gains the most mean cosine."""

    groups: tuple[tuple[str, ...], ...]
    gains: tuple[float, ...]

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
