"""Run an ONNX graph node by node on a few images at a time, and free each tensor after its last use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from edgefeat_export._convert.graph import INPUT
from edgefeat_export._quantize.correction.layers import Floats, uses

__all__ = ["CHUNK", "Chunks", "Rounder", "extremes", "held_bytes", "release", "run_node"]

#: Images per run of a node.
CHUNK = 10

#: Bytes from which a constant is passed to a run, like an image: in a model it would be copied several times.
_LARGE = 1 << 25

#: Bytes of inputs and constants up to which a node is run by one thread: to start and end others would take longer.
_SMALL = 1 << 22

#: The values of one tensor, `CHUNK` images at a time.
Chunks = list[NDArray[Any]]


def run_node(
    node: Any, opset: Iterable[Any], known: Mapping[str, NDArray[Any]], inputs: Mapping[str, Chunks]
) -> dict[str, Chunks]:
    """Return the outputs of one node; `inputs` are the values of its computed inputs, chunk by chunk."""
    fed = [name for name in dict.fromkeys(node.input) if name in inputs]
    constant = {name: known[name] for name in dict.fromkeys(node.input) if name in known}
    large = {name: array for name, array in constant.items() if array.nbytes > _LARGE}
    fixed = [onnx.numpy_helper.from_array(array, name) for name, array in constant.items() if name not in large]
    sources = [
        *(_described(name, inputs[name][0], [None] * inputs[name][0].ndim) for name in fed),
        *(_described(name, array, array.shape) for name, array in large.items()),
    ]
    results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = onnx.helper.make_graph([node], "node", sources, results, fixed)
    model = onnx.helper.make_model(graph, opset_imports=list(opset), ir_version=10)
    read = [*constant.values(), *(inputs[name][0] for name in fed)]
    session = _session(model, alone=sum(array.nbytes for array in read) <= _SMALL)
    outputs: dict[str, Chunks] = {result.name: [] for result in results}
    for values in zip(*(inputs[name] for name in fed), strict=True):
        given = {**large, **dict(zip(fed, values, strict=True))}
        for name, value in zip(outputs, session.run(None, given), strict=True):
            outputs[name].append(value)
    return outputs


def _described(name: str, array: NDArray[Any], shape: Sequence[int | None]) -> onnx.ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def _session(model: onnx.ModelProto, *, alone: bool = False) -> Any:
    """Return a session without warnings, whose threads sleep while they wait, or that starts none if `alone`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if alone:
        options.intra_op_num_threads = 1
    # Threads that spin while they wait would slow down the linear algebra between runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def held_bytes(model: onnx.ModelProto, known: Mapping[str, NDArray[Any]], picture: NDArray[np.uint8]) -> int:
    """Return the largest number of bytes that the tensors of one image take at once."""
    waiting = uses(model)
    values: dict[str, Chunks] = {INPUT: [picture[np.newaxis]]}
    most = 0
    for node in model.graph.node:
        inputs = {name: values[name] for name in node.input if name in values}
        values |= run_node(node, model.opset_import, known, inputs)
        most = max(most, sum(chunks[0].nbytes for chunks in values.values()))
        release(node, waiting, values)
    return most


def release(node: Any, waiting: Counter[str], *streams: dict[str, Chunks]) -> None:
    """Count down in `waiting` the inputs of `node`, and remove tensors that are no longer needed from all `streams`."""
    waiting.subtract(node.input)
    for name in [*node.input, *node.output]:
        if waiting[name] <= 0:
            for values in streams:
                values.pop(name, None)


@dataclass(frozen=True, slots=True)
class Rounder:
    """Rounds activations as both quantizers do: 256 levels from the minimum to the maximum, including zero."""

    session: Any

    @staticmethod
    def make(opset: Iterable[Any]) -> Rounder:
        """Return one rounder for all tensors."""
        kinds = onnx.TensorProto
        describe = onnx.helper.make_tensor_value_info
        nodes = [
            onnx.helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["levels"]),
            onnx.helper.make_node("DequantizeLinear", ["levels", "scale", "zero"], ["rounded"]),
        ]
        sources = [describe("x", kinds.FLOAT, [None]), describe("scale", kinds.FLOAT, [])]
        sources.append(describe("zero", kinds.UINT8, []))
        graph = onnx.helper.make_graph(nodes, "round", sources, [describe("rounded", kinds.FLOAT, [None])])
        return Rounder(_session(onnx.helper.make_model(graph, opset_imports=list(opset), ir_version=10)))

    def round(self, chunks: Chunks, least: float, greatest: float) -> None:
        """Replace each of `chunks` with itself rounded to the grid from `least` to `greatest`."""
        least, greatest = min(least, 0.0), max(greatest, 0.0)
        scale = np.float32((greatest - least) / 255 or 1.0)
        zero = np.clip(np.rint(-least / scale), 0, 255)
        fed = {"scale": np.asarray(scale), "zero": np.asarray(zero, np.uint8)}
        for place, chunk in enumerate(chunks):
            chunks[place] = self.session.run(None, {"x": chunk.reshape(-1), **fed})[0].reshape(chunk.shape)


def extremes(chunks: Sequence[Floats]) -> tuple[float, float]:
    """Return the minimum and the maximum."""
    return min(float(chunk.min()) for chunk in chunks), max(float(chunk.max()) for chunk in chunks)
