"""An int8 variant that passes the gate, or the reason why there is none.

The ladder: corrected int8, the first layers in float where that costs no time; then with the most sensitive sections in
float, as few as will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgefeat._gate import shortfall
from edgefeat._manifest import Gate
from edgefeat_export._check import Measured, measure_variant
from edgefeat_export._correct.record import PIECES
from edgefeat_export._rung import EARLY_FILE, SENSITIVITY_FILE, Corrected, EarlySections, Rung, Sensitivity
from edgefeat_export._workspace import Workspace

__all__ = ["ALL_PIECES", "CORRECTED", "EARLY", "MIXED", "SENSITIVITY", "Faithful", "faithful_int8"]

#: The steps this calls for by name.
CORRECTED, SENSITIVITY, EARLY = "corrected weights", "sensitivity", "early layers"

#: The correction that is not one of weights: the first layers stay float where that is not slower.
MIXED = "mixed"

#: All pieces of the correction, by the names that `--correction` takes.
ALL_PIECES = (*PIECES, MIXED)

#: How many of the groups of sections are tried in float: beyond half, hardly anything is int8.
_FLOAT_GROUPS = (1, 2, 4, 6)


@dataclass(frozen=True, slots=True)
class Faithful:
    """An int8 file, in the workspace, that passes the gate."""

    measured: Measured
    correction: tuple[str, ...]
    float_operations: tuple[str, ...]


def faithful_int8(
    work: Workspace, variant: str, gate: Gate, pieces: tuple[str, ...], run: Callable[[str], None]
) -> Faithful | str:
    """The first rung of the ladder at which `variant` passes `gate`, or in words by what the best missed it.

    `pieces` are the corrections allowed; `run` runs a step by its name.
    """
    if not _has_layers(work):
        return "the network has no convolution or dense layer, so there is nothing to quantize"
    best: tuple[float, str] | None = None
    for rung in _ladder(work, variant, pieces, run):
        if not rung.made(work):
            rung.write(work)
            run(CORRECTED)
        run(variant)
        measured = measure_variant(work, variant)
        done = Corrected.read(work)
        short = shortfall(gate, measured.fidelity)
        if short is None:
            mixed = (MIXED,) if done.float_operations and MIXED in pieces else ()
            return Faithful(measured, (*done.pieces, *mixed), done.float_operations)
        reached = min(figures.mean_cosine for figures in measured.fidelity.values())
        if best is None or reached > best[0]:
            kept = (
                f", with {len(rung.float_sections)} of {len(done.sections)} layers in float"
                if rung.float_sections
                else ""
            )
            best = (reached, short + kept)
    assert best is not None  # the ladder has a first rung
    return best[1]


def _has_layers(work: Workspace) -> bool:
    from edgefeat_export._convert import flatbuffer, float16

    model = flatbuffer.read(work.model("tflite-float32"))
    return any(flatbuffer.op_code(model, one) in float16.OUTPUT_AXIS for one in model.subgraphs[0].operators)


def _ladder(work: Workspace, variant: str, pieces: tuple[str, ...], run: Callable[[str], None]) -> Iterator[Rung]:
    early: tuple[str, ...] = ()
    if MIXED in pieces:
        if not (work.folder / EARLY_FILE).exists():
            run(EARLY)
        found = EarlySections.read(work)
        early = found.tflite if variant.startswith("tflite") else found.onnx
    corrections = tuple(piece for piece in pieces if piece != MIXED)
    yield Rung(early, corrections)
    if not (work.folder / SENSITIVITY_FILE).exists():
        run(SENSITIVITY)
    groups = Sensitivity.read(work).groups
    for count in _FLOAT_GROUPS:
        if count < len(groups):
            kept = dict.fromkeys([*early, *(name for group in groups[:count] for name in group)])
            yield Rung(tuple(kept), corrections)
