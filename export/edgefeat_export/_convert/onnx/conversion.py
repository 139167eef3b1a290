"""Convert TFLite float32 to ONNX float32 with a free batch, by tf2onnx."""

from __future__ import annotations

import gc
import os
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edgefeat import ExportError
from edgefeat_export._convert.onnx.batch import check_rows
from edgefeat_export._convert.onnx.dense_weights import restore, set_aside
from edgefeat_export._convert.onnx.free_batch import BATCH, add_constant, constants_of, free_batch
from edgefeat_export._convert.onnx.layer_norms import spell_layer_norms

__all__ = ["BATCH", "OPSET", "float32"]

#: Opset 18 is the first in which Pad has `axes`, see `_shield_pads`; onnxruntime supports it since 1.14.
OPSET = 18

#: A name that tf2onnx generated: a word, a number, and the output's place in its node.
_GENERATED = re.compile(r"(?P<stem>.*)__\d+(?P<place>:\d+)?")

#: Operators whose output is never negative.
_NOT_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax", "Softplus", "Abs", "HardSigmoid"})

#: The lower bound of a squared length in Keras and TensorFlow.
_LEAST_SQUARE = 1e-12


def float32(tflite: Path, output: Path) -> None:
    """Write the float32 TFLite model as ONNX: uint8 [batch, H, W, 3] to float32 [batch, ...] per tap.

    The result is one file, opset 18, with standard operators only. A check on noise ensures that the rows of a batch
    equal those of single images.
    """
    model = _translated(tflite)
    _check_operators(model)
    free_batch(model)
    _shield_pads(model)
    _spell_norms(model)
    _spell_resizes(model)
    spell_layer_norms(model)
    _name_tensors(model)
    unchecked = output.with_suffix(".unchecked")
    onnx.save(model, unchecked)
    del model
    onnx.checker.check_model(unchecked, full_check=True)
    check_rows(unchecked, "float32")
    os.replace(unchecked, output)


def _translated(tflite: Path) -> onnx.ModelProto:
    """Return the model as translated by tf2onnx."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / tflite.name
        weights = set_aside(tflite, small)
        model = _translated_whole(small if weights else tflite)
    gc.collect()  # tf2onnx's graphs refer to each other in circles, and hold the weights
    if weights:
        restore(model, weights)
    return model


def _translated_whole(tflite: Path) -> onnx.ModelProto:
    # tf2onnx imports TensorFlow.
    from tf2onnx import convert

    from edgefeat_export._convert.onnx import handlers  # noqa: F401  registers missing translations with tf2onnx
    from edgefeat_export._convert.onnx.optimizers import in_order, in_place

    model: onnx.ModelProto
    with in_order():
        try:
            with in_place():
                model, outside = convert.from_tflite(str(tflite), opset=OPSET)
        except Exception:  # noqa: BLE001  optimizers raise anything; tf2onnx's own procedure skips a failing one
            model, outside = convert.from_tflite(str(tflite), opset=OPSET)
    if outside is not None:
        raise ExportError(f"{tflite.name} was converted to an ONNX model of several files (allowed: 1)")
    return model


def _name_tensors(model: onnx.ModelProto) -> None:
    """Number generated names in the order of the nodes, in place: tf2onnx numbers nodes that are gone too.

    Constants are named by the first node that reads them. Those that no node reads are removed.
    """
    graph = model.graph
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    constants_read = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(constants_read)
    taps = {output.name for output in graph.output}
    constants = {tensor.name for tensor in graph.initializer}
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}

    def numbered(name: str) -> str:
        if name in taps or (found := _GENERATED.fullmatch(name)) is None:
            return name
        counts[found["stem"]] += 1
        return f"{found['stem']}__{counts[found['stem']]}{found['place'] or ''}"

    for node in graph.node:
        node.name = numbered(node.name)
        for name in node.output:
            names[name] = numbered(name)
        for index, name in enumerate(node.input):
            if name in constants:
                names.setdefault(name, f"{names[node.output[0]]}/constant{index}")
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    order = {name: place for place, name in enumerate(names)}
    graph.initializer.sort(key=lambda tensor: order.get(tensor.name, len(order)))
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def _check_operators(model: onnx.ModelProto) -> None:
    """Raise ExportError for operators that tf2onnx cannot translate; it only logs them and leaves them in."""
    foreign = {node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    foreign |= {node.op_type for node in model.graph.node if not onnx.defs.has(node.op_type)}
    if foreign:
        raise ExportError(
            f"tf2onnx cannot translate {', '.join(sorted(foreign))}: leave the onnx variants out of --variants"
        )


def _shield_pads(model: onnx.ModelProto) -> None:
    """Prevent onnxruntime from fusing a Pad of zeros into a MaxPool, in place.

    MaxPool pads with minus infinity, so the fusion (on by default) is wrong if all values of a window are negative.
    onnxruntime does not fuse a Pad that names its axes.
    """
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    constants = constants_of(graph)
    pooled = {node.input[0] for node in graph.node if node.op_type == "MaxPool"}
    for node in graph.node:
        if node.op_type != "Pad" or node.output[0] not in pooled or len(node.input) > 3:
            continue
        if node.input[1] not in constants or _is_not_negative(maker.get(node.input[0]), maker, constants):
            continue
        inputs = [*node.input, *[""] * (3 - len(node.input))]
        axes = np.arange(len(constants[node.input[1]]) // 2)
        del node.input[:]
        node.input.extend([*inputs, add_constant(graph, node.output[0] + "/axes", axes)])


def _spell_norms(model: onnx.ModelProto) -> None:
    """Write every L2 norm as Keras and TFLite define it, x / sqrt(max(sum(x^2), 1e-12)), in place.

    For a tiny or all-zero feature LpNormalization leaves the result to the engine, and engines differ.
    """
    graph = model.graph
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        named = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type != "LpNormalization" or named.get("p", 2) != 2:
            graph.node.append(node)
            continue
        (source,), (output,) = node.input, node.output
        axes = add_constant(graph, f"{output}/norm/axes", [named.get("axis", -1)])
        least = f"{output}/norm/least"
        graph.initializer.append(numpy_helper.from_array(np.asarray(_LEAST_SQUARE, np.float32), least))
        squares, kept, length = (f"{output}/norm/{part}" for part in ("squares", "kept", "length"))
        graph.node.extend(
            [
                onnx.helper.make_node("ReduceSumSquare", [source, axes], [squares], squares, keepdims=1),
                onnx.helper.make_node("Max", [squares, least], [kept], kept),
                onnx.helper.make_node("Sqrt", [kept], [length], length),
                onnx.helper.make_node("Div", [source, length], [output], node.name),
            ]
        )


def _spell_resizes(model: onnx.ModelProto) -> None:
    """Write the nearest pixel of a resize without `tf_half_pixel_for_nn`, which opset 13 removed, in place.

    For whole factors it is that of "asymmetric", for which onnxruntime has faster code; else that of "half_pixel",
    rounded instead of cut off.
    """
    constants = constants_of(model.graph)
    for node in model.graph.node:
        named = {attribute.name: attribute for attribute in node.attribute}
        mode = named.get("coordinate_transformation_mode")
        if node.op_type != "Resize" or mode is None or mode.s != b"tf_half_pixel_for_nn":
            continue
        scales = constants.get(node.input[2]) if len(node.input) > 2 else None
        if scales is not None and scales.size and np.all(scales == np.round(scales)):
            mode.s, named["nearest_mode"].s = b"asymmetric", b"floor"
        else:
            mode.s, named["nearest_mode"].s = b"half_pixel", b"round_prefer_ceil"


def _is_not_negative(node: Any, maker: dict[str, Any], constants: dict[str, npt.NDArray[Any]]) -> bool:
    if node is None:
        return False
    if node.op_type == "Transpose":
        return _is_not_negative(maker.get(node.input[0]), maker, constants)
    if node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in constants:
        return bool(constants[node.input[1]] >= 0)
    return node.op_type in _NOT_NEGATIVE
