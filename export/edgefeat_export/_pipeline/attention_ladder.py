"""The ladder of int8 for a transformer: only its dense layers, with static inputs; if these miss the gate, dynamic.

Correcting weights and searching for sections to keep in float takes minutes for a transformer and gains little: its
layer norms, softmax and GELU stay in float from the start. "thorough" takes the ladder of other networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from edgefeat import EngineError, ExportError
from edgefeat_export._convert.tflite.facts import is_transformer
from edgefeat_export._measure.gate import unfaithful
from edgefeat_export._measure.timing import milliseconds
from edgefeat_export._measure.variants import ENGINES, Made, measure_variant
from edgefeat_export._pipeline.steps import DENSE_INT8
from edgefeat_export._pipeline.worker_pool import Workers
from edgefeat_export._spec import Activations, VariantSpec
from edgefeat_export._workspace import BuiltNetwork

__all__ = ["AttentionLadder"]

_ONNX, _DYNAMIC = "onnx-int8", "tflite-dynamic"

#: int8 pays if float takes at least this many times as long.
_PAYS = 1.5


@dataclass(slots=True)
class AttentionLadder:
    """The ladder of one transformer; `dynamic` says whether `tflite-dynamic` was made and is faithful."""

    network: BuiltNetwork
    wanted: VariantSpec
    workers: Workers
    dynamic: bool
    tell: Callable[[str], None]

    def takes(self, variant: str) -> bool:
        """Return whether this ladder makes or refuses the variant; static int8 in TFLite is made only by name."""
        if self.wanted.effort == "thorough" or not is_transformer(self.network.work.model("tflite-float32")):
            return False
        return variant == _ONNX or (variant == "tflite-int8" and self.dynamic and not self.wanted.named)

    def climb(self, variant: str) -> Made | str:
        """Return the variant at the first rung that passes the gate, or why it was not made."""
        if variant != _ONNX:
            self.tell(self._speed(_DYNAMIC))  # the reason goes into the manifest, which must not depend on a clock
            return f"a transformer has static int8 in TFLite only if it is named: --variants {variant}"
        missed: list[str] = []
        for activations in get_args(Activations):
            try:
                kept = self.workers.run(DENSE_INT8, self.network.work, activations)
                measured = measure_variant(self.network, variant)
            except (EngineError, ExportError) as error:
                missed.append(f"with {activations} inputs of its dense layers it cannot be made: {error}")
                continue
            short = unfaithful(variant, measured.fidelity, self.wanted.gate)
            if short is None:
                self.tell(f"{self._speed(variant)}; only its dense layers are in int8, with {activations} inputs")
                return Made(variant, measured, (f"dense layers, {activations}",), kept)
            missed.append(f"with {activations} inputs of its dense layers in int8, {short}")
        return "; ".join(missed)

    def _speed(self, variant: str) -> str:
        """Return how long the variant and its format's float32 take here, and whether that pays."""
        small, full = milliseconds(self.network, variant)
        form = variant.partition("-")[0]
        pays = "" if full >= _PAYS * small else f", less than the {_PAYS:g}x that makes int8 worthwhile"
        return (
            f"{variant} takes {small:.2f} ms here and {form}-float32 {full:.2f} ms, {full / small:.2f}x, on "
            f"{ENGINES[form]}{pays}"
        )
