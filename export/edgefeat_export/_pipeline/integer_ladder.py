"""The ladder of the variant without floats: correct the weights; if that misses the gate, 16-bit activations.

Chips without floats have no float to fall back to, so the sensitive sections of the network get activations of 16 bits
instead, as few as possible. `effort` limits the search as for int8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgefeat import EngineError, ExportError
from edgefeat._bundle.manifest import INTEGER
from edgefeat_export._measure.gate import unfaithful
from edgefeat_export._measure.variants import Made, measure_variant
from edgefeat_export._pipeline.ladder import float_groups
from edgefeat_export._pipeline.steps import CORRECT_WEIGHTS, INTEGER_VARIANT
from edgefeat_export._pipeline.worker_pool import Workers
from edgefeat_export._quantize.correction.pieces import MIXED
from edgefeat_export._quantize.records import Corrected, Rung, Sensitivity
from edgefeat_export._spec import VariantSpec
from edgefeat_export._workspace import BuiltNetwork

__all__ = ["IntegerLadder"]

#: The piece that x86 processors need, and no chip without floats.
_X86 = "pairs"


@dataclass(slots=True)
class IntegerLadder:
    """The ladder of one network; `ranked` ranks its sections by what they lose in 8 bits."""

    network: BuiltNetwork
    wanted: VariantSpec
    workers: Workers
    ranked: Callable[[], Sensitivity]

    def climb(self) -> Made | str:
        """Return the variant at the first rung that passes the gate, or the reason why the best rung missed it.

        Raises ExportError and EngineError if the network cannot be made of integers.
        """
        pieces = tuple(piece for piece in self.wanted.pieces if piece not in (MIXED, _X86))
        done = self.workers.run(CORRECT_WEIGHTS, self.network.work, Rung((), pieces, ("tflite",)))
        made, best = self._attempt(done, ())
        if not isinstance(made, str):
            return made
        reason = made
        if self.wanted.effort == "quick":
            return f"{reason}; more effort (--effort normal) may reach it"
        loss, gate = 1 - best, self.wanted.gate.mean_cosine
        for groups in float_groups(self.ranked(), self.wanted.effort, loss, gate):
            sections = tuple(name for group in groups for name in group)
            try:
                made, cosine = self._attempt(done, sections)
            except (EngineError, ExportError) as error:
                return f"{reason}; 16-bit activations are not possible: {error}"
            if not isinstance(made, str):
                return made
            if cosine > best:
                best, reason = cosine, f"{made}, with 16-bit activations in {len(sections)} of {done.sections} layers"
        return reason

    def _attempt(self, done: Corrected, wide: tuple[str, ...]) -> tuple[Made | str, float]:
        """Return the variant, or how it misses the gate, and its lowest mean cosine; `wide` sections have 16 bits."""
        integers = self.workers.run(INTEGER_VARIANT, self.network, done, wide, self.wanted.integer_input)
        measured = measure_variant(self.network, INTEGER, integers)
        cosine = min(figures.mean_cosine for figures in measured.fidelity.values())
        short = unfaithful(INTEGER, measured.fidelity, self.wanted.gate)
        return short or Made(INTEGER, measured, done.pieces, integers=integers), cosine
