"""What each piece of the correction brings: int8 files made with ever more of them, from one network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefeat._bundle.manifest import Fidelity
from edgefeat_export._pipeline.ladder import CORRECTED, EARLY, MIXED
from edgefeat_export._pipeline.processes import run_step
from edgefeat_export._pipeline.steps import ordered
from edgefeat_export._quantize.fidelity import measure_variant
from edgefeat_export._quantize.rung import Corrected, EarlySections, Rung
from edgefeat_export._quantize.timing import milliseconds
from edgefeat_export._spec import NetworkSpec
from edgefeat_export._workspace import Workspace

__all__ = ["Row", "ablation"]

#: In the order in which they are switched on: what brings most for least comes first.
_ORDER = ("bias", "rounding", "basis", "pairs", MIXED)
_VARIANTS = ("tflite-int8", "onnx-int8")


@dataclass(frozen=True, slots=True)
class Row:
    """One int8 file: the `pieces` allowed, those that were `kept` because they helped, and what came of it.

    `fidelity` is of the first tap; `milliseconds` is a median, of the float32 file of the same format and of this one
    in turn.
    """

    variant: str
    pieces: tuple[str, ...]
    kept: tuple[str, ...]
    fidelity: Fidelity
    size: int
    milliseconds: float
    float32_milliseconds: float


def ablation(spec: NetworkSpec, tell: Callable[[str], None]) -> Iterator[Row]:
    """A row for each int8 file, with none of the pieces first and then one more at a time. `tell` hears of steps."""
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as scratch:
        work = Workspace(Path(scratch))
        work.write_spec(spec)

        def run(step: str) -> None:
            tell(step)
            run_step(work, step)

        for step in ordered(["onnx-float32"]):
            run(step)
        run(EARLY)
        early = EarlySections.read(work)
        for count in range(len(_ORDER) + 1):
            for variant in _VARIANTS:
                mixed = early.tflite if variant.startswith("tflite") else early.onnx
                weights = tuple(piece for piece in _ORDER[:count] if piece != MIXED)
                Rung(mixed if MIXED in _ORDER[:count] else (), weights).write(work)
                run(CORRECTED)
                run(variant)
                measured = measure_variant(work, variant)
                ours, full = milliseconds(work, variant)
                done = Corrected.read(work)
                yield Row(
                    variant,
                    _ORDER[:count],
                    (*done.pieces, *((MIXED,) if done.float_operations else ())),
                    next(iter(measured.fidelity.values())),
                    work.model(variant).stat().st_size,
                    ours,
                    full,
                )
