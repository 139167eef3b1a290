"""ONNX files of models that would mix the images of a batch, or that the converter cannot translate."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")
for name in ("tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

import keras
import onnx
import onnxruntime

from edgefeat import ExportError
from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import batch
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.tflite import conversion as tflite


def batch_model(*nodes: Any, **constants: Any) -> onnx.ModelProto:
    """A graph from `image`, 4 x 4, to `feature`, with a free batch."""
    describe = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "batch",
        [describe("image", onnx.TensorProto.UINT8, ["batch", 4, 4, 3])],
        [describe("feature", onnx.TensorProto.FLOAT, ["batch", None, None, None])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", to_onnx.OPSET)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)


def written(model: onnx.ModelProto, folder: Path) -> Path:
    """The model's file."""
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def mixing(share: float) -> onnx.ModelProto:
    """Each picture less a share of the mean of its batch."""
    node = onnx.helper.make_node
    return batch_model(
        node("Cast", ["image"], ["x"], to=onnx.TensorProto.FLOAT),
        node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
        node("Mul", ["mean", "share"], ["part"]),
        node("Sub", ["x", "part"], ["feature"]),
        axes=np.array([0]),
        share=np.float32(share),
    )


@pytest.mark.parametrize(("precision", "share"), [("float32", 1.0), ("float32", 0.1), ("int8", 1.0), ("int8", 0.2)])
def test_a_model_that_mixes_its_batch_is_refused(precision: Any, share: float, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="mixes the images of a batch: an image's feature changes with its"):
        batch.check_rows(written(mixing(share), tmp_path), precision)


def test_a_model_that_changes_the_length_of_its_features_in_a_batch_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node
    model = batch_model(
        node("Cast", ["image"], ["x"], to=onnx.TensorProto.FLOAT),
        node("ReduceMax", ["x"], ["greatest"], keepdims=0),
        node("ReduceMean", ["x", "axes"], ["dark"], keepdims=0),
        node("ReduceMin", ["dark"], ["least"], keepdims=0),
        node("Add", ["greatest", "least"], ["scale"]),
        node("Div", ["x", "scale"], ["feature"]),
        axes=np.array([1, 2, 3]),
    )
    with pytest.raises(ExportError, match=r"mixes the images of a batch.* length"):
        batch.check_rows(written(model, tmp_path), "int8")


def test_a_model_that_rounds_otherwise_in_a_batch_does_not_mix_it(tmp_path: Path) -> None:
    # The rows of a batch are shifted by half a level: what an engine does that adds up in another order, made plain.
    node = onnx.helper.make_node
    model = batch_model(
        node("Cast", ["image"], ["x"], to=onnx.TensorProto.FLOAT),
        node("Shape", ["image"], ["size"], start=0, end=1),
        node("Greater", ["size", "one"], ["many"]),
        node("Cast", ["many"], ["number"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["number", "half"], ["shift"]),
        node("Add", ["x", "shift"], ["shifted"]),
        node("QuantizeLinear", ["shifted", "level", "zero"], ["levels"]),
        node("DequantizeLinear", ["levels", "level", "zero"], ["feature"]),
        one=np.array([1]),
        half=np.float32(4),
        level=np.float32(8),
        zero=np.uint8(0),
    )
    batch.check_rows(written(model, tmp_path), "int8")
    with pytest.raises(ExportError, match="in a batch differs from its feature alone"):
        batch.check_rows(written(model, tmp_path), "float32")


def test_an_operator_without_translation_is_refused_by_name() -> None:
    model = mixing(1.0)
    model.graph.node[-1].op_type = "TFL_ODD"
    with pytest.raises(ExportError, match="TFL_ODD"):
        to_onnx._check_operators(model)


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_reaches_onnx_which_tf2onnx_cannot_translate_by_itself(tmp_path: Path, approximate: bool) -> None:
    keras.utils.set_random_seed(1)
    source = keras.Input((16, 16, 3), name="image")
    maps = keras.layers.Conv2D(8, 3, padding="same")(source / 64.0)
    maps = keras.ops.gelu(maps, approximate=approximate)
    model = keras.Model(source, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 1)(maps)))
    graph = save_graph(model, ["gelu"], tmp_path / "graph.pb")
    tflite.float32(graph, tmp_path / "model.tflite")
    to_onnx.float32(tmp_path / "model.tflite", tmp_path / "model.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (features,) = session.run(None, {"image": pictures})
    np.testing.assert_allclose(features, model.predict(pictures.astype(np.float32), verbose=0), atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (48, 16), (21, 19), (7, 9)])
def test_a_resized_map_is_that_of_keras_in_a_form_that_onnx_still_has(
    tmp_path: Path, size: tuple[int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    keras.utils.set_random_seed(1)
    source = keras.Input((16, 16, 3), name="image")
    maps = keras.layers.Conv2D(4, 3, padding="same")(source / 64.0)
    model = keras.Model(source, keras.ops.image.resize(maps, size, "nearest"))
    graph = save_graph(model, ["maps"], tmp_path / "graph.pb")
    tflite.float32(graph, tmp_path / "model.tflite")
    to_onnx.float32(tmp_path / "model.tflite", tmp_path / "model.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    capfd.readouterr()
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (features,) = session.run(None, {"image": pictures})
    assert "deprecated" not in capfd.readouterr().err
    np.testing.assert_allclose(features, model.predict(pictures.astype(np.float32), verbose=0), atol=1e-5)
