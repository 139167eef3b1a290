"""Running an ONNX graph node by node, on some pictures at a time, with memory for what is still needed only."""

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
from edgefeat_export._correct.layers import Floats

__all__ = ["CHUNK", "Rounder", "best_range", "extremes", "held_bytes", "release", "run_node", "uses"]

#: Pictures per run of a node.
CHUNK = 10

Chunks = list[NDArray[Any]]

#: Shares of the extremes that are tried as a range, and the values of each chunk that they are tried on.
_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
_SAMPLE = 50_000

#: What an error of clipping counts, for one of rounding: it comes in few places, all to one side.
CLIPPING = 1.0


def run_node(
    node: Any, opset: Iterable[Any], known: Mapping[str, NDArray[Any]], inputs: Mapping[str, Chunks]
) -> dict[str, Chunks]:
    """The outputs of one node: `inputs` are the values of its computed inputs, chunk by chunk."""
    fed = [name for name in dict.fromkeys(node.input) if name in inputs]
    fixed = [onnx.numpy_helper.from_array(known[name], name) for name in dict.fromkeys(node.input) if name in known]
    describe = onnx.helper.make_tensor_value_info
    sources = [
        describe(name, onnx.helper.np_dtype_to_tensor_dtype(inputs[name][0].dtype), [None] * inputs[name][0].ndim)
        for name in fed
    ]
    results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = onnx.helper.make_graph([node], "node", sources, results, fixed)
    model = onnx.helper.make_model(graph, opset_imports=list(opset), ir_version=10)
    session = _session(model)
    outputs: dict[str, Chunks] = {result.name: [] for result in results}
    for values in zip(*(inputs[name] for name in fed), strict=True):
        for name, value in zip(outputs, session.run(None, dict(zip(fed, values, strict=True))), strict=True):
            outputs[name].append(value)
    return outputs


def _session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that wait by spinning would take the processor from the linear algebra in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def uses(model: onnx.ModelProto) -> Counter[str]:
    """How often each tensor is needed; the graph's own outputs once more."""
    counted = Counter(name for node in model.graph.node for name in node.input)
    counted.update(output.name for output in model.graph.output)
    return counted


def held_bytes(model: onnx.ModelProto, known: Mapping[str, NDArray[Any]], picture: NDArray[np.uint8]) -> int:
    """The most bytes that the tensors of one picture take at once."""
    waiting = uses(model)
    values: dict[str, Chunks] = {INPUT: [picture[np.newaxis]]}
    most = 0
    for node in model.graph.node:
        inputs = {name: values[name] for name in node.input if name in values}
        values |= run_node(node, model.opset_import, known, inputs)
        most = max(most, sum(chunks[0].nbytes for chunks in values.values()))
        release(values, node, waiting)
    return most


def release(values: dict[str, Chunks], node: Any, waiting: Counter[str]) -> None:
    """Count down what `node` has used and forget what nothing needs any more."""
    waiting.subtract(node.input)
    for name in [*node.input, *node.output]:
        if waiting[name] <= 0:
            values.pop(name, None)


@dataclass(frozen=True, slots=True)
class Rounder:
    """Rounds activations as both quantizers do: 256 levels from the least to the greatest value, zero among them."""

    session: Any

    @staticmethod
    def make(opset: Iterable[Any]) -> Rounder:
        """One for all tensors."""
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

    def rounded(self, chunks: Sequence[Floats], least: float, greatest: float) -> list[Floats]:
        """`chunks` on the grid from `least` to `greatest`."""
        least, greatest = min(least, 0.0), max(greatest, 0.0)
        scale = np.float32((greatest - least) / 255 or 1.0)
        zero = np.clip(np.rint(-least / scale), 0, 255)
        fed = {"scale": np.asarray(scale), "zero": np.asarray(zero, np.uint8)}
        return [self.session.run(None, {"x": chunk.reshape(-1), **fed})[0].reshape(chunk.shape) for chunk in chunks]


def extremes(chunks: Sequence[Floats]) -> tuple[float, float]:
    """The least and the greatest value."""
    return min(float(chunk.min()) for chunk in chunks), max(float(chunk.max()) for chunk in chunks)


def best_range(chunks: Sequence[Floats]) -> tuple[float, float]:
    """A share of the extremes: the one with the least squared error of rounding and clipping to it.

    Few values are far out where all are sums of many, and the grid is the finer the less of them it holds.
    """
    least, greatest = extremes(chunks)
    values = np.concatenate([chunk.reshape(-1)[:: max(1, chunk.size // _SAMPLE)] for chunk in chunks])
    errors = {}
    for share in _SHARES:
        step = (greatest - least) * share / 255
        beyond = np.maximum(values - greatest * share, 0) + np.maximum(least * share - values, 0)
        errors[share] = step * step / 12 + CLIPPING * float(np.mean(beyond.astype(np.float64) ** 2))
    share = min(errors, key=errors.__getitem__)
    return least * share, greatest * share
