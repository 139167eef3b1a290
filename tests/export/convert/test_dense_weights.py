"""Weights of large dense layers are kept out of tf2onnx's work, and the file is the same."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

import keras
import onnx
import onnxruntime

from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.onnx import dense_weights
from edgefeat_export._convert.tflite import conversion as tflite


def _features(path: Path, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": pictures})
    return np.asarray(found)


def test_dense_weights_kept_out_of_the_translation_give_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = keras.Input((8, 8, 3))
    hidden = keras.layers.Dense(24, activation="relu")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(6)(hidden))
    tflite.float32(save_graph(model, ["feature"], tmp_path / "graph"), tmp_path / "a.tflite")
    to_onnx.float32(tmp_path / "a.tflite", tmp_path / "a.onnx")
    aside = dense_weights.set_aside(tmp_path / "a.tflite", tmp_path / "b.tflite", large=64)
    assert sorted(values.shape for values in aside.values()) == [(6, 24), (24, 192)]
    monkeypatch.setattr(to_onnx, "set_aside", partial(dense_weights.set_aside, large=64))
    to_onnx.float32(tmp_path / "a.tflite", tmp_path / "b.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    one, other = (_features(tmp_path / name, pictures) for name in ("a.onnx", "b.onnx"))
    np.testing.assert_array_equal(one, other)
    assert len(onnx.load(tmp_path / "b.onnx").graph.input) == 1
