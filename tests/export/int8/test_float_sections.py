"""Sections of a network that stay in float beside int8: which they are, in both formats."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

for name in ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

import keras
import onnx
from tests.export.int8.correction_case import Case, Pictures, guard_of

import edgefeat_export
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import flatbuffer, tail
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._quantize.correction.corrected_files import Models, correct
from edgefeat_export._quantize.sections import prefix, sections

Features = Callable[[Path, Pictures], npt.NDArray[np.float32]]


def test_sections_cover_the_trunk_once_in_both_formats(case: Case) -> None:
    parts = sections(case.float32.onnx, case.float32.tflite)
    assert len(parts) == 10
    nodes, operators = prefix(parts)
    assert len(set(nodes)) == len(nodes)
    assert len(set(operators)) == len(operators)
    model = onnx.load(case.float32.onnx)
    assert {*nodes, *onnx_int8.float_nodes(model)} == {node.name for node in model.graph.node}
    float_operators = tail.float_operators(flatbuffer.read(case.float32.tflite))
    count = len(flatbuffer.read(case.float32.tflite).subgraphs[0].operators)
    assert {*operators, *float_operators} == set(range(count))


def test_sections_in_float_keep_their_weights_and_are_not_quantized(case: Case) -> None:
    nodes, operators = prefix(sections(case.float32.onnx, case.float32.tflite)[:2])
    target = Models(case.folder / "mixed.tflite", case.folder / "mixed.onnx")
    guard = guard_of(case.float32, case.folder, case.pictures, case.checking, nodes=nodes, operators=operators)
    report = correct(case.float32, target, case.pictures, kept=nodes, comparison=guard)
    assert report.layers == 8
    made = Models(case.folder / "mixed-int8.tflite", case.folder / "mixed-int8.onnx")
    tflite_int8.int8(target.tflite, case.pictures, made.tflite, kept=operators, chosen=report.ranges)
    onnx_int8.quantize(target.onnx, case.pictures, made.onnx, kept=nodes, chosen=report.ranges)
    weights = [tensor for tensor in onnx.load(made.onnx).graph.initializer if len(tensor.dims) == 4]
    assert [tensor.data_type for tensor in weights].count(onnx.TensorProto.INT8) == 8
    graph = flatbuffer.read(made.tflite).subgraphs[0]
    assert len([tensor for tensor in graph.tensors if tensor.type == 9 and len(tensor.quantization.scale) > 1]) == 8


@pytest.mark.parametrize("part", [slice(0, 3), slice(0, 6), slice(0, None)])
def test_layers_turned_back_to_float_are_those_of_a_file_quantized_without_them(
    case: Case, features: Features, part: slice
) -> None:
    whole, without, turned = (case.folder / f"{name}.onnx" for name in ("whole", "without", "turned"))
    kept = set(prefix(sections(case.float32.onnx, case.float32.tflite)[part])[0])
    onnx_int8.quantize(case.float32.onnx, case.pictures, whole)
    onnx_int8.quantize(case.float32.onnx, case.pictures, without, kept=kept)
    onnx.save(onnx_int8.with_float(onnx.load(whole), onnx.load(case.float32.onnx), kept), turned)
    all_int8, expected, found = (features(path, case.checking) for path in (whole, without, turned))
    assert np.linalg.norm(found - expected) < 0.5 * np.linalg.norm(all_int8 - expected)


def test_a_network_without_sections_that_misses_the_gate_is_refused_with_the_figure(
    small_photos: Path, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((12, 12, 3))
    hidden = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(image))
    keras.Model(image, keras.layers.Dense(6, activation="relu")(hidden)).save(tmp_path / "dense.keras")
    extractor = edgefeat_export.export(
        tmp_path / "dense.keras",
        tmp_path / "dense.edgefeat",
        preprocess="tf",
        variants=["tflite-float32", "tflite-int8"],
        min_fidelity=0.9999999,
        calibration=small_photos,
    )
    (refusal,) = extractor.bundle.manifest.refusals
    assert "mean cosine to Keras" in refusal.reason
