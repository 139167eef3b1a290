"""The int8 correction on a small network: means, integers in both formats, pairs, bases, and no correction at all."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

for name in ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime import quantization
from tests.export.int8.correction_case import Case, Pictures, guard_of

from edgefeat import ExportError
from edgefeat_export._convert import grid
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._quantize.correction import basis, rounding
from edgefeat_export._quantize.correction.corrected_files import Models, correct, features_cosine, write_corrected
from edgefeat_export._quantize.correction.layers import constants, find_layers
from edgefeat_export._quantize.correction.pieces import LADDER, NONE, PIECES, Correction, allowed
from edgefeat_export._quantize.correction.ranges import Range

Features = Callable[[Path, Pictures], npt.NDArray[np.float32]]


def tensors(path: Path, names: list[str], pictures: Pictures) -> dict[str, npt.NDArray[np.float32]]:
    """The values of some tensors of an ONNX file."""
    model = onnx.load(path)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(None, {"image": pictures}), strict=True))


def weighted_outputs(path: Path) -> list[str]:
    return [node.output[0] for node in onnx.load(path).graph.node if node.op_type == "Conv"]


def onnx_weights(path: Path) -> list[npt.NDArray[np.int8]]:
    """Integers of the convolutions in the order of the graph, outputs first."""
    graph = onnx.load(path).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    return [values[maker[node.input[1]].input[0]] for node in graph.node if node.op_type == "Conv"]


def tflite_weights(path: Path) -> list[npt.NDArray[np.int8]]:
    """The same of a TFLite file, in ONNX's layout."""
    model = flatbuffer.read(path)
    (graph,) = model.subgraphs
    found = []
    for operator in graph.operators:
        axes = {3: (0, 3, 1, 2), 4: (3, 0, 1, 2)}.get(flatbuffer.op_code(model, operator))
        if axes is not None:
            tensor = graph.tensors[operator.inputs[1]]
            content = flatbuffer.constant(model, tensor)
            assert content is not None
            found.append(np.frombuffer(content, np.int8).reshape(tensor.shape).transpose(axes))
    return found


def test_bias_correction_gives_every_channel_the_mean_of_the_float_model(case: Case) -> None:
    target = Models(case.folder / "bias.tflite", case.folder / "bias.onnx")
    only = Correction(basis=False, rounding=False, pairs=False, ranges=False)
    write_corrected(case.float32, target, case.pictures, only, ())
    quantized = case.folder / "bias-int8.onnx"
    onnx_int8.quantize(target.onnx, case.pictures, quantized)
    last = weighted_outputs(case.float32.onnx)[-1]
    expected = tensors(case.float32.onnx, [last], case.pictures)[last].mean((0, 2, 3))
    stock = case.folder / "stock-int8.onnx"
    onnx_int8.quantize(case.float32.onnx, case.pictures, stock)
    clipped = np.maximum(tensors(case.float32.onnx, [last], case.pictures)[last], 0).mean((0, 2, 3))
    found, without = (_last_map(path, case.pictures).mean((0, 2, 3)) for path in (quantized, stock))
    assert np.abs(found - clipped).max() < 0.35 * np.abs(without - clipped).max()
    assert np.abs(found - clipped).max() < 0.02 * np.abs(expected).max()


def _last_map(path: Path, pictures: Pictures) -> npt.NDArray[np.float32]:
    """The last feature map of an int8 file, as the tail gets it."""
    graph = onnx.load(path).graph
    (name,) = [node.input[0] for node in graph.node if node.op_type == "ReduceMean"]
    values = tensors(path, [name], pictures)[name]
    return values if values.shape[1] == 64 else values.transpose(0, 3, 1, 2)


def test_both_formats_have_the_same_integers(case: Case) -> None:
    ours, theirs = onnx_weights(case.int8.onnx), tflite_weights(case.int8.tflite)
    assert len(ours) == len(theirs) == 10
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_int8_weights_are_the_corrected_ones_on_their_grid(case: Case) -> None:
    model = onnx.load(case.corrected.onnx)
    layers = find_layers(model)
    values = constants(model)
    for levels, layer in zip(onnx_weights(case.int8.onnx), layers, strict=True):
        weight = values[layer.weight]
        scales = grid.found_scales(weight.reshape(len(weight), -1))
        assert scales is not None
        np.testing.assert_allclose(levels * scales[:, None, None, None], weight, atol=1e-6 * np.abs(weight).max())


def test_no_pair_of_weights_saturates_sixteen_bits(case: Case) -> None:
    stock = case.folder / "unsafe.onnx"
    onnx_int8.quantize(case.float32.onnx, case.pictures, stock)
    safe, unsafe = (max(map(worst_pair, onnx_weights(path))) for path in (case.int8.onnx, stock))
    assert 255 * safe <= 32767 < 255 * unsafe


def worst_pair(weights: npt.NDArray[np.int8]) -> int:
    """The greatest sum of magnitudes that one 16-bit lane can get; a depthwise convolution has no pairs."""
    if weights.shape[1] == 1:
        return 0
    magnitude = np.abs(weights.astype(int))
    if weights.shape[1] % 2:
        return int(2 * magnitude.max())
    return int((magnitude[:, 0::2] + magnitude[:, 1::2]).max())


def test_features_are_nearer_with_every_correction_on(case: Case, features: Features) -> None:
    uncorrected = case.folder / "uncorrected.onnx"
    onnx_int8.quantize(case.float32.onnx, case.pictures, uncorrected)
    stock = features_cosine(uncorrected, case.float32.onnx, case.checking)
    ours = features_cosine(case.int8.onnx, case.float32.onnx, case.checking)
    assert 1 - ours < 0.6 * (1 - stock)
    reference = features(case.float32.tflite, case.checking)
    for path in (case.int8.tflite, case.int8.onnx):
        assert ((features(path, case.checking) * reference).sum(1)).mean() > stock


def test_another_basis_leaves_the_features_as_they_were(case: Case, features: Features) -> None:
    model = onnx.load(case.float32.onnx)
    layers = find_layers(model)
    known = constants(model)
    changed = basis.in_better_bases(model, layers, known, (), case.pictures)
    for tensor in model.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(changed[tensor.name], tensor.name))
    assert changed[layers[2].weight].shape[0] == 2 * known[layers[2].weight].shape[0]
    onnx.save(model, case.folder / "based.onnx")
    found, expected = (features(path, case.checking) for path in (case.folder / "based.onnx", case.float32.onnx))
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_another_basis_gives_constants_in_the_order_of_the_layers(case: Case) -> None:
    """In the order of a set, which each process hashes anew, two exports would differ in the order of their weights."""
    model = onnx.load(case.float32.onnx)
    layers = find_layers(model)
    changed = basis.in_better_bases(model, layers, constants(model), (), case.pictures)
    assert [*changed] == [name for layer in layers for name in (layer.weight, layer.bias)]


def test_with_everything_off_the_files_are_those_of_the_stock_tools(case: Case) -> None:
    target = Models(case.folder / "none.tflite", case.folder / "none.onnx")
    guard = guard_of(case.float32, case.folder, case.pictures, case.checking)
    report = correct(case.float32, target, case.pictures, ladder=(), comparison=guard)
    assert (report.used, report.layers) == (NONE, 0)
    assert target.tflite.read_bytes() == case.float32.tflite.read_bytes()
    assert target.onnx.read_bytes() == case.float32.onnx.read_bytes()
    ours = case.folder / "none-int8.tflite"
    tflite_int8.int8(target.tflite, case.pictures, ours)
    assert ours.read_bytes() == _stock(case)
    theirs = case.folder / "none-int8.onnx"
    onnx_int8.quantize(target.onnx, case.pictures, theirs)
    assert theirs.read_bytes() == _stock_onnx(case)


def _stock_onnx(case: Case) -> bytes:
    """What onnxruntime's quantizer makes of the float32 file by itself."""
    output = case.folder / "by-itself.onnx"
    quantization.quantize_static(
        case.float32.onnx,
        output,
        onnx_int8.Pictures(case.pictures),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=onnx_int8.float_nodes(onnx.load(case.float32.onnx)),
    )
    return output.read_bytes()


def _stock(case: Case) -> bytes:
    """What ai-edge-quantizer makes of the float32 file by itself."""
    from ai_edge_quantizer import quantizer

    recipe = tflite_int8._recipe(case.float32.tflite, ()).get_quantization_recipe()
    extremes = tflite_int8.ranges(case.float32.tflite, case.pictures)
    tool = quantizer.Quantizer(case.float32.tflite, recipe)
    result = tool.quantize(extremes, enable_progress_bar=False, enable_progress_report=False)
    model = flatbuffer.parse(result.quantized_model)
    flatbuffer.label(model, ("feature",))
    return bytes(flatbuffer.serialize(model))


def test_a_correction_that_does_harm_is_not_kept(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def turned(*arguments: Any) -> Any:
        return -rounding.nearest(arguments[0], arguments[1], arguments[3])

    monkeypatch.setattr(rounding, "round_with_feedback", turned)
    target = Models(case.folder / "harm.tflite", case.folder / "harm.onnx")
    guard = guard_of(case.float32, case.folder, case.pictures, case.checking)
    report = correct(case.float32, target, case.pictures, comparison=guard)
    assert not report.used.rounding
    assert report.used.bias
    assert report.corrected > report.without


@dataclass(frozen=True)
class Harmed:
    """A comparison in which the correction loses a little in each format, as noise does, and `loss` times in one."""

    form: str
    loss: float

    def without(self) -> Iterator[float]:
        yield from (0.99, 0.99)

    def reached(self, candidate: Models, ranges: Mapping[str, Range]) -> Iterator[float]:
        yield from (1 - 0.01 * (self.loss if form == self.form else 1.015) for form in ("onnx", "tflite"))


@pytest.mark.parametrize("harmed", ["tflite", "onnx"])
def test_a_correction_that_harms_one_format_beyond_noise_is_not_kept(case: Case, harmed: str) -> None:
    target = Models(case.folder / "one.tflite", case.folder / "one.onnx")
    last = LADDER[-1:]
    report = correct(case.float32, target, case.pictures, ladder=last, comparison=Harmed(harmed, 1.03))
    assert (report.used, report.corrected) == (NONE, 0.99)
    assert target.onnx.read_bytes() == case.float32.onnx.read_bytes()
    report = correct(case.float32, target, case.pictures, ladder=last, comparison=Harmed(harmed, 1.015))
    assert report.used == LADDER[-1]


def test_the_dead_channel_has_no_weights_and_a_bias_that_fits(case: Case, features: Features) -> None:
    first = onnx_weights(case.int8.onnx)[0]
    assert not first[2].any()
    assert np.isfinite(features(case.int8.tflite, case.checking)).all()


def test_pieces_allow_the_rungs_that_they_cover() -> None:
    assert allowed(PIECES) == LADDER
    assert allowed(["bias"]) == (Correction(basis=False, rounding=False, pairs=False, ranges=False),)
    assert allowed([]) == ()


def test_no_pictures_to_check_on_is_an_error(case: Case) -> None:
    for path in (case.float32.onnx, case.float32.tflite):
        with pytest.raises(ExportError, match="0 images"):
            features_cosine(path, path, case.checking[:0])
