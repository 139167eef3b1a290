"""Write the fused operations of a graph out as the plain ones they stand for.

Converters join a convolution or a matrix product with the bias and the curve after it. TensorFlow runs such operations
only on some processors, and TensorFlow.js has more of them: `FusedDepthwiseConv2dNative` and `Prelu`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["FUSED", "unfused"]

#: The operation that a fused one begins with, and the attributes it has of it.
_CONVOLUTION = ("T", "strides", "padding", "explicit_paddings", "data_format", "dilations")
_FIRST: dict[str, tuple[str, tuple[str, ...]]] = {
    "_FusedConv2D": ("Conv2D", _CONVOLUTION),
    "FusedDepthwiseConv2dNative": ("DepthwiseConv2dNative", _CONVOLUTION),
    "_FusedDepthwiseConv2dNative": ("DepthwiseConv2dNative", _CONVOLUTION),
    "_FusedMatMul": ("MatMul", ("T", "transpose_a", "transpose_b")),
}

#: The operations that are written out.
FUSED = frozenset({*_FIRST, "Prelu"})

#: What may follow, with the number of further tensors that it takes.
_FOLLOWING = {
    "BiasAdd": 1,
    "FusedBatchNorm": 4,
    "Relu": 0,
    "Relu6": 0,
    "Elu": 0,
    "LeakyRelu": 0,
    "Sigmoid": 0,
    "Tanh": 0,
    "Prelu": 1,
}


def unfused(nodes: Iterable[Any]) -> list[Any]:
    """Return the nodes of a graph, with plain ones in place of those that are fused.

    The last of these has the name of the fused node, and the others have names within it.
    Raises ValueError, with a reason, if a node fuses operations that are not known, or lacks some of their tensors.
    """
    nodes = list(nodes)
    names = {node.name for node in nodes}
    return [plain for node in nodes for plain in _plain(node, names)]


def _plain(node: Any, names: set[str]) -> Iterator[Any]:
    if node.op not in FUSED:
        yield node
        return
    further = list(node.input[2:])
    writer = _Writer(node, names)
    if node.op == "Prelu":
        kinds = ["Prelu"]
        value, further = node.input[0], list(node.input[1:])
    else:
        first, attributes = _FIRST[node.op]
        kinds = [kind.decode("utf-8", "replace") for kind in node.attr["fused_ops"].list.s]
        value = writer.add(first, node.input[:2], attributes, last=not kinds)
    unknown = [kind for kind in kinds if kind not in _FOLLOWING]
    if unknown:
        raise ValueError(
            f"its {node.op} {node.name!r} fuses {', '.join(unknown)}, which is not known (allowed: "
            f"{', '.join(_FOLLOWING)})"
        )
    if len(further) != sum(_FOLLOWING[kind] for kind in kinds):
        raise ValueError(f"its {node.op} {node.name!r} takes {len(node.input)} tensors, which do not fit what it fuses")
    for place, kind in enumerate(kinds, 1):
        taken, further = further[: _FOLLOWING[kind]], further[_FOLLOWING[kind] :]
        value = writer.follow(kind, value, taken, last=place == len(kinds))
    yield from writer.written


class _Writer:
    """Writes the plain nodes of one fused node."""

    def __init__(self, node: Any, names: set[str]) -> None:
        self._node, self._names = node, names
        self.written: list[Any] = []

    def add(self, kind: str, inputs: Iterable[str], attributes: Iterable[str] = ("T",), *, last: bool = False) -> str:
        """Write a node with these attributes of the fused one, and return its name, which is its tensor's too."""
        from tensorflow.core.framework import types_pb2

        node = type(self._node)(name=self._node.name if last else self._free_name(kind), op=kind, input=inputs)
        for key in attributes:
            if key in self._node.attr:
                node.attr[key].CopyFrom(self._node.attr[key])
            elif key == "T":  # converters leave it out of `Prelu`
                node.attr[key].type = types_pb2.DT_FLOAT
        self.written.append(node)
        return str(node.name)

    def follow(self, kind: str, value: str, further: list[str], *, last: bool) -> str:
        """Write the nodes of an operation that follows `value`, and return the name of its tensor."""
        if kind == "FusedBatchNorm":
            name = self.add("FusedBatchNormV3", [value, *further], ("T", "epsilon", "data_format"), last=last)
            self.written[-1].attr["U"].CopyFrom(self.written[-1].attr["T"])
            self.written[-1].attr["is_training"].b = False
            return name
        if kind == "Prelu":  # the form that TFLite knows
            positive = self.add("Relu", [value])
            mirrored = self.add("Relu", [self.add("Neg", [value])])
            negative = self.add("Mul", [self.add("Neg", further), mirrored])
            return self.add("AddV2", [positive, negative], last=last)
        name = self.add(kind, [value, *further], ("T", "data_format") if kind == "BiasAdd" else ("T",), last=last)
        if kind == "LeakyRelu" and "leakyrelu_alpha" in self._node.attr:
            self.written[-1].attr["alpha"].CopyFrom(self._node.attr["leakyrelu_alpha"])
        return name

    def _free_name(self, kind: str) -> str:
        name = f"{self._node.name}/{kind}"
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name
