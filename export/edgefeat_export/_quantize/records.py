"""Records of the int8 ladder: rungs, corrections, and what sections in float gain and cost.

Sections are contiguous groups of operations: a layer with weights and what follows it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from edgefeat._bundle.json_records import to_json

__all__ = ["Corrected", "EarlySections", "Estimate", "Prefixes", "Rung", "Sensitivity"]


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung of the ladder: the sections that stay in float, and the corrections allowed, both by name.

    Empty `pieces` mean the stock tools' own rounding. `formats` are the formats to make int8 files in.
    """

    float_sections: tuple[str, ...]
    pieces: tuple[str, ...]
    formats: tuple[str, ...] = ("tflite", "onnx")

    @property
    def folder_name(self) -> str:
        """The name of the folder for the files of the rung."""
        return f"rung-{hashlib.sha256(json.dumps(to_json(self)).encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Corrected:
    """Weights corrected for `rung`: the number of sections, the operations that stay in float, and the pieces kept.

    `ranges` are those chosen for activations, by the name of the tensor. `int8` are the formats whose int8 file from
    these weights is already in the rung's folder.
    """

    rung: Rung
    sections: int
    float_operations: tuple[str, ...]
    float_operators: tuple[int, ...]
    pieces: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]
    int8: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Groups of neighbouring sections, starting with the group that gains the most mean cosine if it stays in float.

    `losses` are the distances of the mean cosine from 1, without correction, with the first 0, 1, 2... groups in float.
    """

    groups: tuple[tuple[str, ...], ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated milliseconds of one inference of an int8 file and of the float32 file of its format, on one thread."""

    int8: float
    float32: float

    @property
    def slowness(self) -> float:
        """The time of int8 as a multiple of that of float."""
        return self.int8 / self.float32


@dataclass(frozen=True, slots=True)
class EarlySections:
    """The first sections that stay in float, by name, and what the files then cost.

    Sections and estimates are by format. `products` are the multiplications of one inference. `curved` says whether an
    activation is a curve, such as a swish or a sigmoid, not made of lines as a ReLU6 is.
    """

    sections: dict[str, tuple[str, ...]]
    estimates: dict[str, Estimate]
    products: int
    curved: bool


@dataclass(frozen=True, slots=True)
class Prefixes:
    """More and more first sections in float with which int8 is still much faster than float, by the cost table.

    `sections` are their names, starting with those that stay in float anyway, and `losses` the distances of the mean
    cosine from 1 with them, without correction.
    """

    sections: tuple[tuple[str, ...], ...]
    losses: tuple[float, ...]
