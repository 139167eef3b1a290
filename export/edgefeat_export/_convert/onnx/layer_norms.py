"""Write layer norms as ONNX's own operator, which every engine computes in one pass over the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edgefeat_export._convert.onnx.unused import drop_unused

__all__ = ["spell_layer_norms"]

Constants = Mapping[str, npt.NDArray[Any]]


def spell_layer_norms(model: onnx.ModelProto) -> int:
    """Replace, in place, the arithmetic of every Keras layer norm by `LayerNormalization`; return how many there were.

    Keras computes x * m + (beta - mean * m) with m = gamma / sqrt(variance + epsilon), which onnxruntime does not
    recognize as a layer norm: thirteen operators, each of which reads and writes all values.
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    found = 0
    replaced: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        norm = _norm(node, maker, constants)
        if norm is None:
            continue
        source, gamma, beta, epsilon = norm
        inputs = [source]
        for part, values in (("gamma", gamma), ("beta", beta)):
            inputs.append(f"{node.output[0]}/{part}")
            graph.initializer.append(numpy_helper.from_array(values, inputs[-1]))
        replaced[node.output[0]] = onnx.helper.make_node(
            "LayerNormalization", inputs, [node.output[0]], node.name, axis=-1, epsilon=epsilon
        )
        found += 1
    if found:
        nodes = [replaced.get(node.output[0], node) for node in graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        drop_unused(graph)
    return found


def _norm(node: Any, maker: Mapping[str, Any], constants: Constants) -> tuple[str, Any, Any, float] | None:
    """Return input, gamma, beta and epsilon of the layer norm whose last operator is `node`; None if it is none."""
    if node.op_type not in ("Add", "Sub"):
        return None
    for scaled, shift in (node.input, node.input[::-1]) if node.op_type == "Add" else ():
        found = _scaled(scaled, maker, constants)
        if found is None:
            continue
        source, mean, scale, gamma, epsilon = found
        beta = _beta(maker.get(shift), mean, scale, maker, constants)
        if beta is not None:
            gamma = gamma.reshape(-1).astype(np.float32)
            beta = np.broadcast_to(beta.reshape(-1), gamma.shape).astype(np.float32)
            return source, gamma, np.ascontiguousarray(beta), epsilon
    return None


def _scaled(name: str, maker: Mapping[str, Any], constants: Constants) -> tuple[str, str, str, Any, float] | None:
    """Return x, its mean, the scale, gamma and epsilon, if `name` is x times gamma / sqrt(variance(x) + epsilon)."""
    product = maker.get(name)
    if product is None or product.op_type != "Mul":
        return None
    for source, scale in (product.input, product.input[::-1]):
        made = maker.get(scale)
        if made is None or made.op_type != "Mul":
            continue
        constant, inverse = _split(made, constants)
        root = _chain(inverse, ("Reciprocal", "Sqrt"), maker)
        added = maker.get(root) if root else None
        if constant is None or added is None or added.op_type != "Add":
            continue
        epsilon, variance = _split(added, constants)
        mean = _mean_of_variance(variance, source, maker, constants)
        if epsilon is not None and constants[epsilon].size == 1 and mean is not None:
            return source, mean, scale, constants[constant], float(constants[epsilon].reshape(()))
    return None


def _mean_of_variance(name: str, source: str, maker: Mapping[str, Any], constants: Constants) -> str | None:
    """Return the mean of `source` if `name` is its variance over the last axis."""
    squares = _reduced(name, maker, constants)
    square = maker.get(squares) if squares else None
    if square is None or square.op_type != "Mul" or square.input[0] != square.input[1]:
        return None
    difference = maker.get(square.input[0])
    if difference is None or difference.op_type != "Sub" or difference.input[0] != source:
        return None
    mean: str = difference.input[1]
    return mean if _reduced(mean, maker, constants) == source else None


def _reduced(name: str, maker: Mapping[str, Any], constants: Constants) -> str | None:
    """Return what `name` is the mean of over the last axis, kept; None if it is not."""
    node = maker.get(name)
    if node is None or node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in constants:
        return None
    named = {attribute.name: attribute.i for attribute in node.attribute}
    axes = constants[node.input[1]].reshape(-1).tolist()
    last = axes in ([-1], [2])  # tokens have three dimensions
    return str(node.input[0]) if last and named.get("keepdims", 1) == 1 else None


def _beta(node: Any, mean: str, scale: str, maker: Mapping[str, Any], constants: Constants) -> Any:
    """Return beta if `node` is beta - mean * scale, in either form, or -mean * scale without beta."""
    if node is None:
        return None
    if node.op_type == "Add" and (set(node.input) & set(constants)):
        constant, rest = _split(node, constants)
        without = _beta(maker.get(rest), mean, scale, maker, constants)
        return None if without is None or constant is None else constants[constant]
    if node.op_type == "Sub" and node.input[0] in constants:
        product = maker.get(node.input[1])
        fits = product is not None and product.op_type == "Mul" and set(product.input) == {mean, scale}
        return constants[node.input[0]] if fits else None
    if node.op_type == "Mul" and scale in node.input:
        (other,) = [name for name in node.input if name != scale] or [""]
        negative = maker.get(other)
        if negative is not None and negative.op_type == "Neg" and negative.input[0] == mean:
            return np.zeros(1, np.float32)
    return None


def _split(node: Any, constants: Constants) -> tuple[str | None, str]:
    """Return the constant and the computed input of an operator with two inputs."""
    one, other = node.input
    if one in constants:
        return one, other
    return (other, one) if other in constants else (None, one)


def _chain(name: str, kinds: tuple[str, ...], maker: Mapping[str, Any]) -> str | None:
    """Return the input of the first of operators of these kinds, last first, that compute `name`."""
    for kind in kinds:
        node = maker.get(name)
        if node is None or node.op_type != kind:
            return None
        name = node.input[0]
    return name
