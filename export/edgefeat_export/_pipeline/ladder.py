"""An int8 variant that passes the gate, or the reason why there is none.

The ladder: corrected int8, the first layers in float where that costs no time; then with the most sensitive sections in
float, as few as will do. How far it is climbed is a matter of the effort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgefeat._bundle.gate import shortfall
from edgefeat._bundle.manifest import Gate
from edgefeat_export._quantize.correction.record import PIECES
from edgefeat_export._quantize.fidelity import Measured, measure_variant
from edgefeat_export._quantize.rung import EARLY_FILE, SENSITIVITY_FILE, Corrected, EarlySections, Rung, Sensitivity
from edgefeat_export._quantize.timing import milliseconds
from edgefeat_export._spec import Effort
from edgefeat_export._workspace import Workspace

__all__ = ["ALL_PIECES", "CORRECTED", "EARLY", "MIXED", "SENSITIVITY", "Faithful", "faithful_int8"]

#: The steps this calls for by name.
CORRECTED, SENSITIVITY, EARLY = "corrected weights", "sensitivity", "early layers"

#: The correction that is not one of weights: the first layers stay float where that is not slower.
MIXED = "mixed"

#: All pieces of the correction, by the names that `--correction` takes.
ALL_PIECES = (*PIECES, MIXED)

#: A correction that takes no longer is tried again with layers in float, whether int8 is faster here or not.
_CHEAP_SECONDS = 15.0

#: An int8 file so many times slower than float32 is not made worth its time by layers in float.
_SLOWER = 1.25

#: How many of the groups of sections are tried in float: beyond half, hardly anything is int8.
_FLOAT_GROUPS = (1, 2, 4, 6)


@dataclass(frozen=True, slots=True)
class Faithful:
    """An int8 file, in the workspace, that passes the gate."""

    measured: Measured
    correction: tuple[str, ...]
    float_operations: tuple[str, ...]


@dataclass(slots=True)
class _Climb:
    """The rungs that one variant has tried; `reached` and `reason` are of the best of those that missed the gate."""

    work: Workspace
    variant: str
    gate: Gate
    pieces: tuple[str, ...]
    run: Callable[[str], None]
    reached: float = -1.0
    reason: str = ""

    def attempt(self, rung: Rung) -> Faithful | None:
        """Return the file made at `rung`, None where it misses the gate."""
        rung.write(self.work)
        if not rung.made(self.work):
            self.run(CORRECTED)
        self.run(self.variant)
        measured = measure_variant(self.work, self.variant)
        done = Corrected.read(self.work)
        short = shortfall(self.gate, measured.fidelity)
        if short is None:
            mixed = (MIXED,) if done.float_operations and MIXED in self.pieces else ()
            return Faithful(measured, (*done.pieces, *mixed), done.float_operations)
        reached = min(figures.mean_cosine for figures in measured.fidelity.values())
        if reached > self.reached or not self.reason:
            count = len(rung.float_sections)
            kept = f", with {count} of {len(done.sections)} layers in float" if count else ""
            self.reached, self.reason = reached, short + kept
        return None


def faithful_int8(
    work: Workspace,
    variant: str,
    gate: Gate,
    pieces: tuple[str, ...],
    effort: Effort,
    formats: tuple[str, ...],
    run: Callable[[str], None],
) -> Faithful | str:
    """The first rung of the ladder at which `variant` passes `gate`, or in words by what the best missed it.

    `pieces` are the corrections allowed, `formats` those of which int8 is wanted; `run` runs a step by its name.
    """
    if not _has_layers(work):
        return "the network has no convolution or dense layer, so there is nothing to quantize"
    climb = _Climb(work, variant, gate, pieces, run)
    corrections = tuple(piece for piece in pieces if piece != MIXED)
    early = _early(work, run) if MIXED in pieces and effort != "quick" else EarlySections((), ())
    own, other = (early.tflite, early.onnx) if variant.startswith("tflite") else (early.onnx, early.tflite)
    form = variant.partition("-")[0]
    # One correction serves both formats where the same layers stay in float.
    found = climb.attempt(Rung(own, corrections, formats if own == other else (form,)))
    if found is not None or effort == "quick":
        return found or f"{climb.reason}; more effort (--effort normal) may reach it"
    if effort == "normal" and (slower := _cannot_pay(work, variant)):
        return climb.reason + slower
    if effort == "thorough":
        both = own == other
    else:  # what costs no time in either format
        own, both = min(own, other, key=len), True
    for kept in _sensitive(work, gate, 1 - climb.reached, effort, run):
        names = tuple(dict.fromkeys([*own, *kept]))
        found = climb.attempt(Rung(names, corrections, formats if both else (form,)))
        if found is not None:
            return found
    return climb.reason


def _early(work: Workspace, run: Callable[[str], None]) -> EarlySections:
    if not (work.folder / EARLY_FILE).exists():
        run(EARLY)
    return EarlySections.read(work)


def _cannot_pay(work: Workspace, variant: str) -> str | None:
    """In words that layers in float will not make the file worth its time: slower already, and slow to make."""
    if Corrected.read(work).report.seconds < _CHEAP_SECONDS:
        return None
    small, full = milliseconds(work, variant)
    if small <= _SLOWER * full:
        return None
    form = variant.partition("-")[0]
    return (
        f"; as it takes {small:.2f} ms here against {full:.2f} ms of {form}-float32, no layers in float were tried "
        "(--effort thorough tries them)"
    )


def _sensitive(
    work: Workspace, gate: Gate, loss: float, effort: Effort, run: Callable[[str], None]
) -> Iterator[tuple[str, ...]]:
    """The names of the sections to be kept in float, in the order in which to try; `loss` is that of the first rung.

    `thorough` tries one number of groups after another. `normal` begins with the first that should do, if correction
    gains as much with these layers in float as it did without, and tries one more.
    """
    if not (work.folder / SENSITIVITY_FILE).exists():
        run(SENSITIVITY)
    found = Sensitivity.read(work)
    counts = [count for count in _FLOAT_GROUPS if count < len(found.groups)]
    if effort == "normal" and counts:
        gained = loss / max(found.losses[0], 1e-9)
        should = [
            index
            for index, count in enumerate(counts)
            if count < len(found.losses) and found.losses[count] * gained <= 1 - gate.mean_cosine
        ]
        first = should[0] if should else len(counts) - 1
        counts = counts[first : first + 2]
    for count in counts:
        yield tuple(name for group in found.groups[:count] for name in group)


def _has_layers(work: Workspace) -> bool:
    from edgefeat_export._convert.tflite import flatbuffer, float16

    model = flatbuffer.read(work.model("tflite-float32"))
    return any(flatbuffer.op_code(model, one) in float16.OUTPUT_AXIS for one in model.subgraphs[0].operators)
