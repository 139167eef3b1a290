"""The record of `edgefeat tune` says on which engines int8 is slower than float32."""

from __future__ import annotations

import pytest

from edgefeat import Candidate, Tuning


def measured(variant: str, engine: str, milliseconds: float | None) -> Candidate:
    return Candidate(variant, engine, "1", 1, "ok" if milliseconds else "failed", "", milliseconds)


@pytest.mark.parametrize(
    ("candidates", "sentences"),
    [
        (
            [measured("tflite-float32", "litert", 3.0), measured("tflite-int8", "litert", 4.5)],
            ["tflite-int8 is slower than tflite-float32 on litert here: 4.50 ms against 3.00 ms"],
        ),
        ([measured("tflite-int8", "litert", 3.0), measured("tflite-float32", "litert", 4.5)], []),
        ([measured("onnx-float32", "onnxruntime", 3.0), measured("tflite-int8", "litert", 4.5)], []),
        ([measured("tflite-float32", "litert", 3.0), measured("tflite-int8", "litert", None)], []),
        (
            [
                measured("onnx-float32", "openvino", 2.0),
                measured("onnx-int8", "openvino", 2.5),
                measured("onnx-float32", "onnxruntime", 2.8),
                measured("tflite-int8", "litert", 3.0),
                measured("onnx-int8", "onnxruntime", 6.0),
                measured("tflite-float32", "litert", 7.0),
            ],
            [
                "onnx-int8 is slower than onnx-float32 on openvino here: 2.50 ms against 2.00 ms",
                "onnx-int8 is slower than onnx-float32 on onnxruntime here: 6.00 ms against 2.80 ms",
            ],
        ),
    ],
)
def test_it_says_on_which_engines_int8_is_slower(candidates: list[Candidate], sentences: list[str]) -> None:
    tuning = Tuning("", "", tuple(candidates), True)
    assert tuning.slower_int8() == sentences
    assert tuning.best is candidates[0]
