"""Measure what each piece of the int8 correction gains: int8 files of one network, with one more piece each time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgefeat._bundle.manifest import Fidelity
from edgefeat_export._measure.timing import milliseconds
from edgefeat_export._measure.variants import measure_variant
from edgefeat_export._pipeline.steps import (
    BUILD_NETWORK,
    CHOOSE_EARLY_SECTIONS,
    CORRECT_WEIGHTS,
    FLOAT_VARIANTS,
    INT8_VARIANTS,
)
from edgefeat_export._pipeline.worker_pool import Workers
from edgefeat_export._quantize.correction.pieces import ALL_PIECES, MIXED
from edgefeat_export._quantize.records import Rung
from edgefeat_export._spec import NetworkSpec
from edgefeat_export._workspace import Workspace

__all__ = ["Row", "ablation"]

#: The pieces in the order in which they are enabled: first those that gain most for the least time.
_FIRST = ("bias", "rounding", "basis")
_ORDER = (*_FIRST, *(piece for piece in ALL_PIECES if piece not in _FIRST))


@dataclass(frozen=True, slots=True)
class Row:
    """One int8 file: the `pieces` allowed, those `kept` because they helped, and its figures.

    `fidelity` is of the first tap; `milliseconds` are medians of this file and of the float32 file of the same format,
    timed in turn.
    """

    variant: str
    pieces: tuple[str, ...]
    kept: tuple[str, ...]
    fidelity: Fidelity
    size: int
    milliseconds: float
    float32_milliseconds: float


def ablation(spec: NetworkSpec, tell: Callable[[str], None]) -> Iterator[Row]:
    """Yield a row for each int8 file: first with no pieces, then with one more at a time.

    `tell` is called with the name of each step.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgefeat-") as scratch,
        Workers(Path(scratch), began=tell) as workers,
    ):
        work = Workspace(Path(scratch))
        network = workers.run(BUILD_NETWORK, work, spec)
        for variant in ("tflite-float32", "onnx-float32"):
            workers.run(FLOAT_VARIANTS[variant], network)
        workers.close(tensorflow=True)
        early = workers.run(CHOOSE_EARLY_SECTIONS, work, None)
        for count in range(len(_ORDER) + 1):
            weights = tuple(piece for piece in _ORDER[:count] if piece != MIXED)
            for variant, step in INT8_VARIANTS.items():
                kept = early.sections[variant.partition("-")[0]] if MIXED in _ORDER[:count] else ()
                done = workers.run(CORRECT_WEIGHTS, work, Rung(kept, weights))
                workers.run(step, network, done)
                ours, full = milliseconds(network, variant)
                yield Row(
                    variant,
                    _ORDER[:count],
                    (*done.pieces, *((MIXED,) if done.float_operations else ())),
                    next(iter(measure_variant(network, variant).fidelity.values())),
                    work.model(variant).stat().st_size,
                    ours,
                    full,
                )
