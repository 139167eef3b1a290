"""The weighted layers of an ONNX float32 model: where their constants are, and the constants as matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

__all__ = ["ACTIVATIONS", "Floats", "Layer", "attributes", "constants", "find_layers", "set_constant"]

Floats = NDArray[np.float32]

#: What both quantizers compute together with the layer in front of it.
ACTIVATIONS = frozenset({"Relu", "Clip"})


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or a dense layer with constant weights that no other layer has.

    `node` is its name; `weight` and `bias` name constants of the graph; `bias_node` names the node that adds the
    bias, the layer itself or the addition behind a matrix product. `groups` is that of the convolution.
    """

    node: str
    kind: str
    weight: str
    bias: str
    bias_node: str
    groups: int

    def matrix(self, weight: Floats) -> Floats:
        """The weights as (groups, outputs of a group, inputs of an output)."""
        if self.kind == "Conv":
            return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)
        return (weight if self.kind == "Gemm" else weight.T)[np.newaxis]

    def weights(self, matrix: Floats, like: Floats) -> Floats:
        """The inverse of `matrix`, in the shape of `like`."""
        if self.kind == "MatMul":
            return np.ascontiguousarray(matrix[0].T)
        return np.ascontiguousarray(matrix.reshape(like.shape))


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The constants of the graph by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def set_constant(model: onnx.ModelProto, name: str, values: NDArray[Any]) -> None:
    """Replace the constant `name`, or add it."""
    tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
    for known in model.graph.initializer:
        if known.name == name:
            known.CopyFrom(tensor)
            return
    model.graph.initializer.append(tensor)


def attributes(node: Any) -> dict[str, Any]:
    """The attributes of a node by name."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def find_layers(model: onnx.ModelProto) -> list[Layer]:
    """The layers of `model` in order; in place, each gets weights and a bias of its own, zeros where it had none.

    Left out are those that have no place for a bias: a matrix product with no addition behind it.
    """
    known = constants(model)
    uses = Counter(name for node in model.graph.node for name in node.input)
    users = {name: node for node in model.graph.node for name in node.input}
    found = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "MatMul", "Gemm") or len(node.input) < 2 or node.input[1] not in known:
            continue
        adding = _bias_node(node, users, uses, known)
        if adding is None:
            continue
        weight = known[node.input[1]]
        outputs = weight.shape[1] if node.op_type == "MatMul" else weight.shape[0]
        place = next((i for i in range(1, len(adding.input)) if i > 1 or adding is not node), None)
        bias = _bias(adding, known, outputs)
        place = _bias_place(adding, known)
        own_weight, own_bias = f"{node.name}/weight", f"{node.name}/bias"
        set_constant(model, own_weight, weight)
        set_constant(model, own_bias, bias)
        node.input[1] = own_weight
        if place == len(adding.input):
            adding.input.append(own_bias)
        else:
            adding.input[place] = own_bias
        groups = int(attributes(node).get("group", 1)) if node.op_type == "Conv" else 1
        found.append(Layer(node.name, node.op_type, own_weight, own_bias, adding.name, groups))
    return found
