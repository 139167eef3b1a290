"""Weights on the int8 grid: its scales, pairs, and rounding with feedback."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

for name in ("onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

import onnx

from edgefeat_export._convert import grid
from edgefeat_export._quantize.correction import execution, rounding, rounding_pass
from edgefeat_export._quantize.correction.layers import find_layers
from edgefeat_export._quantize.correction.pieces import Correction


def test_a_grid_is_found_again_by_its_fewest_levels() -> None:
    random = np.random.default_rng(0)
    levels = random.integers(-100, 101, (40, 30))
    levels[:, 0] = 100
    levels[0] = 2 * (levels[0] // 2)
    levels[1] = 0
    scale = random.uniform(1e-3, 1, 40)
    found = grid.found_scales((levels * scale[:, None]).astype(np.float32))
    assert found is not None
    assert found[0] == pytest.approx(2 * scale[0], rel=1e-5)
    np.testing.assert_allclose(found[2:], scale[2:], rtol=1e-5)
    assert grid.found_scales(random.normal(size=(40, 30)).astype(np.float32)) is None


@pytest.mark.parametrize("pairs", [False, True])
def test_rounding_with_feedback_errs_less_in_the_output_than_nearest(pairs: bool) -> None:
    random = np.random.default_rng(1)
    mixing = random.normal(size=(2, 24, 24))
    moments = mixing @ mixing.transpose(0, 2, 1)
    matrix = random.normal(size=(2, 16, 24)).astype(np.float32)
    other = grid.partners(24, 24) if pairs else None
    scale = grid.scales(matrix, other)

    def error(levels: npt.NDArray[np.int8]) -> float:
        difference = levels * scale[..., None] - matrix
        return float(np.einsum("goi,gij,goj->", difference, moments, difference))

    nearest, ours = (
        rounding.nearest(matrix, scale, other),
        rounding.round_with_feedback(matrix, scale, moments, other),
    )
    assert error(ours) < 0.6 * error(nearest)
    if other is not None:
        for levels in (nearest, ours):
            magnitude = np.abs(levels.astype(int))
            assert (magnitude + magnitude[..., other]).max() <= grid.PAIR


def test_pairs_are_neighbouring_channels_of_one_position() -> None:
    np.testing.assert_array_equal(grid.partners(8, 4), [2, 3, 0, 1, 6, 7, 4, 5])
    np.testing.assert_array_equal(grid.partners(3, 3), [0, 1, 2])


PICTURES = np.random.default_rng(1).integers(0, 256, (40, 32, 1, 3), np.uint8)


def dense(inputs: int, outputs: int, features: int) -> onnx.ModelProto:
    """An image of `inputs` pixels, two dense layers."""
    random = np.random.default_rng(0)
    make = onnx.helper
    first = random.normal(0, (inputs * 3) ** -0.5, (inputs * 3, outputs)).astype(np.float32)
    second = random.normal(0, outputs**-0.5, (outputs, features)).astype(np.float32)
    constants = [
        onnx.numpy_helper.from_array(values, name)
        for name, values in {
            "first": first,
            "second": second,
            "bias": np.zeros(outputs, np.float32),
            "other": np.zeros(features, np.float32),
            "shape": np.array([0, inputs * 3]),
        }.items()
    ]
    nodes = [
        make.make_node("Cast", ["image"], ["float"], "cast", to=onnx.TensorProto.FLOAT),
        make.make_node("Reshape", ["float", "shape"], ["flat"], "reshape"),
        make.make_node("MatMul", ["flat", "first"], ["product"], "one"),
        make.make_node("Add", ["product", "bias"], ["sum"], "one/bias"),
        make.make_node("Relu", ["sum"], ["map"], "relu"),
        make.make_node("MatMul", ["map", "second"], ["product2"], "two"),
        make.make_node("Add", ["product2", "other"], ["feature"], "two/bias"),
    ]
    source = make.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["batch", inputs, 1, 3])
    result = make.make_tensor_value_info("feature", onnx.TensorProto.FLOAT, ["batch", features])
    graph = make.make_graph(nodes, "dense", [source], [result], constants)
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)


def rounded(model: onnx.ModelProto, *, feedback: bool = True) -> dict[str, npt.NDArray[np.float32]]:
    """Return the corrected constants by the names that `find_layers` gives."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    layers = find_layers(copy)
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in copy.graph.initializer}
    wanted = Correction(basis=False, rounding=feedback, pairs=True)
    return rounding_pass.corrected_constants(copy, layers, known, (), PICTURES, wanted)[0]


def test_a_dense_layer_rounded_by_groups_of_inputs_errs_less_than_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding_pass, "_DENSE_INPUTS", 32)
    model = dense(32, 48, 8)
    layers = find_layers(model)
    exact = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pictures = PICTURES.reshape(len(PICTURES), -1).astype(np.float32)
    pictures -= pictures.mean(0)  # the bias absorbs the mean

    def error(found: dict[str, npt.NDArray[np.float32]]) -> float:
        return float(np.square(pictures @ (found[layers[0].weight] - exact[layers[0].weight])).sum())

    ours, nearest = rounded(model), rounded(model, feedback=False)
    assert error(ours) < error(nearest)
    other = grid.partners(96, 96)
    for layer in layers:
        weights = ours[layer.weight].T
        scales = grid.found_scales(weights)
        assert scales is not None
        magnitude = np.abs(np.rint(weights / scales[:, np.newaxis]))
        partner = other if weights.shape[1] == len(other) else grid.partners(48, 48)
        assert (magnitude + magnitude[:, partner]).max() <= grid.PAIR


def test_large_constants_are_passed_to_a_node_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    model = dense(32, 48, 8)
    before = rounded(model)
    monkeypatch.setattr(execution, "_LARGE", 16)
    after = rounded(model)
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, atol=1e-5)


def test_layers_get_weights_of_their_own_where_two_share_them(tmp_path: Path) -> None:
    model = dense(16, 48, 48)
    model.graph.node[5].input[1] = "first"
    shared = onnx.numpy_helper.to_array(model.graph.initializer[0])
    layers = find_layers(model)
    known = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert [layer.weight for layer in layers] == ["weight/0", "weight/1"]
    for layer in layers:
        np.testing.assert_array_equal(known[layer.weight], shared)
    assert "first" not in known
    onnx.save(model, tmp_path / "own.onnx")
    onnx.checker.check_model(tmp_path / "own.onnx")
