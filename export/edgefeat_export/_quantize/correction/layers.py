"""Find the weighted layers of an ONNX float32 model, with their constants as matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

__all__ = ["ACTIVATIONS", "Floats", "Layer", "attributes", "constants", "find_layers", "set_constants", "uses"]

Floats = NDArray[np.float32]

#: Operators that both quantizers merge with the preceding layer.
ACTIVATIONS = frozenset({"Relu", "Clip"})


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or a dense layer with constant weights and bias that no other layer uses.

    `node` is its name, `adding` that of the node that adds the bias: itself, or the addition after a matrix product.
    `weight` and `bias` name constants of the graph; `groups` is the convolution's.
    """

    node: str
    kind: str
    weight: str
    bias: str
    adding: str
    groups: int

    def matrix(self, weight: Floats) -> Floats:
        """Return the weights as (groups, outputs of a group, inputs of an output)."""
        if self.kind == "Conv":
            return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)
        return (weight if self.kind == "Gemm" else weight.T)[np.newaxis]

    def weights(self, matrix: NDArray[Any], like: Floats) -> Floats:
        """Return the inverse of `matrix`, in the shape of `like`."""
        flat = matrix[0].T if self.kind == "MatMul" else matrix.reshape(like.shape)
        return np.ascontiguousarray(flat, np.float32)


def attributes(node: Any) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the constants of the graph by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def set_constants(model: onnx.ModelProto, values: dict[str, NDArray[Any]]) -> None:
    """Replace or add constants, and remove those that no node uses."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used and tensor.name not in values]
    added = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in values.items()]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *added])


def uses(model: onnx.ModelProto) -> Counter[str]:
    """Return how often each tensor is read; the graph's outputs count as one more."""
    counted = Counter(name for node in model.graph.node for name in node.input)
    counted.update(output.name for output in model.graph.output)
    return counted


def find_layers(model: onnx.ModelProto) -> list[Layer]:
    """Return the layers of `model` in order, and give each its own weights and bias in place, zeros if it has none.

    A matrix product without a following addition is omitted: it has no place for a bias.
    """
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    counts = uses(model)
    own: dict[str, NDArray[Any]] = {}
    renamed: dict[str, str] = {}
    found: list[Layer] = []
    for node, adding, place in _weighted(model, known):
        weight = known[node.input[1]]
        outputs = weight.dims[1] if node.op_type == "MatMul" else weight.dims[0]
        has_bias = place < len(adding.input)
        if weight.data_type != onnx.TensorProto.FLOAT or (has_bias and adding.input[place] not in known):
            continue
        bias = numpy_helper.to_array(known[adding.input[place]]) if has_bias else np.zeros(outputs, np.float32)
        if bias.size != outputs:
            continue
        groups = int(attributes(node).get("group", 1)) if node.op_type == "Conv" else 1
        # The names are short because quantized files repeat each one a dozen times.
        layer = Layer(node.name, node.op_type, f"weight/{len(found)}", f"bias/{len(found)}", adding.name, groups)
        own[layer.bias] = bias.reshape(outputs)
        if counts[weight.name] == 1:
            renamed[weight.name] = layer.weight
        else:
            own[layer.weight] = numpy_helper.to_array(weight)
        node.input[1] = layer.weight
        inputs = [*adding.input[:place], layer.bias, *adding.input[place + 1 :]]
        del adding.input[:]
        adding.input.extend(inputs)
        found.append(layer)
    for tensor in model.graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    set_constants(model, own)
    return found


def _weighted(model: onnx.ModelProto, known: Mapping[str, onnx.TensorProto]) -> Iterator[tuple[Any, Any, int]]:
    """Yield nodes with constant weights, the node that adds the bias, and the index of the bias in its inputs."""
    users = {name: node for node in model.graph.node for name in node.input}
    counts = uses(model)
    for node in model.graph.node:
        if len(node.input) < 2 or node.input[1] not in known:
            continue
        if node.op_type == "Conv" or (node.op_type == "Gemm" and attributes(node).get("transB", 0) == 1):
            yield node, node, 2
        adding = users.get(node.output[0])
        if node.op_type != "MatMul" or adding is None or adding.op_type != "Add" or counts[node.output[0]] != 1:
            continue
        if len(known[node.input[1]].dims) == 2:
            yield node, adding, 1 - list(adding.input).index(node.output[0])
