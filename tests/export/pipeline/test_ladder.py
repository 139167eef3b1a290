"""The ladders of int8: what has passed the gate is not lost, and one attempt that fails does not end them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the export extra is not installed")

from edgefeat import ExportError
from edgefeat._bundle.fidelity import measure
from edgefeat._bundle.gate import DEFAULT_GATE
from edgefeat._engines.registry import engine_named
from edgefeat_export._measure.variants import Measured
from edgefeat_export._pipeline import attention_ladder, ladder
from edgefeat_export._pipeline.steps import CHOOSE_EARLY_SECTIONS, CORRECT_WEIGHTS, DENSE_INT8, INT8_VARIANTS
from edgefeat_export._quantize.correction.pieces import ALL_PIECES
from edgefeat_export._quantize.records import Corrected, EarlySections, Estimate, Prefixes
from edgefeat_export._spec import VariantSpec

NETWORK: Any = SimpleNamespace(work=None, spec=SimpleNamespace(weights="imagenet"))
WANTED = VariantSpec(("onnx-int8",), DEFAULT_GATE, ALL_PIECES)


class Steps:
    """Steps of an export with given results, in place of conversions of minutes; `fails` says which of them fail."""

    def __init__(self, fails: Any) -> None:
        self.done: list[Any] = []
        self._fails = fails

    def run(self, step: Any, *arguments: Any) -> Any:
        self.done.append((step, *arguments))
        if self._fails(step, arguments):
            raise ExportError("the converter crashed")
        if step is CHOOSE_EARLY_SECTIONS:
            cost = {form: Estimate(1.0, 4.0) for form in ("onnx", "tflite")}
            return EarlySections({"onnx": (), "tflite": ()}, cost, 10**8, curved=False)
        if step is CORRECT_WEIGHTS:
            return Corrected(arguments[-1], 9, (), (), ("bias",), {}, ())
        return Prefixes(((), ("first",)), (0.01, 0.0001))


def measured(cosine: float) -> Measured:
    """Figures of a file whose features have this cosine to Keras's."""
    keras = np.tile(np.array([[1.0, 0.0]], np.float32), (12, 1))
    ours = np.tile(np.array([[cosine, (1 - cosine**2) ** 0.5]], np.float32), (12, 1))
    return Measured(engine_named("onnxruntime"), {"feature": ours}, {"feature": measure(ours, keras)})


def test_a_file_that_passed_stays_if_the_attempt_to_make_it_nearer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "measure_variant", lambda *_: measured(0.997))
    steps = Steps(lambda step, given: step is CORRECT_WEIGHTS and given[-1].float_sections == ("first",))
    made = ladder.Ladder(NETWORK, WANTED, steps).climb("onnx-int8")  # type: ignore[arg-type]  # stands for Workers
    assert not isinstance(made, str), made
    assert made.measured.fidelity["feature"].mean_cosine == pytest.approx(0.997, abs=1e-4)
    last, _, corrected = steps.done[-1]  # its file is made again: the attempt may have replaced it
    assert last is INT8_VARIANTS["onnx-int8"]
    assert corrected.rung.float_sections == ()


def test_a_transformer_gets_dynamic_inputs_if_static_ones_cannot_be_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_ladder, "measure_variant", lambda *_: measured(0.9999))
    monkeypatch.setattr(attention_ladder, "milliseconds", lambda *_: (1.0, 2.0))
    told: list[str] = []
    steps = Steps(lambda step, given: step is DENSE_INT8 and given[-1] == "static")
    tried = attention_ladder.AttentionLadder(NETWORK, WANTED, steps, True, told.append)  # type: ignore[arg-type]
    made = tried.climb("onnx-int8")
    assert not isinstance(made, str), made
    assert made.correction == ("dense layers, dynamic",)
    none = attention_ladder.AttentionLadder(NETWORK, WANTED, Steps(lambda *_: True), True, told.append)  # type: ignore[arg-type]
    assert none.climb("onnx-int8") == (
        "with static inputs of its dense layers it cannot be made: the converter crashed; "
        "with dynamic inputs of its dense layers it cannot be made: the converter crashed"
    )
