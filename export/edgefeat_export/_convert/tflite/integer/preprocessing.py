"""Move a TFLite model's preprocessing into its first convolutions, so that pixels enter as they are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat_export._convert.tflite import flatbuffer, tail
from edgefeat_export._convert.tflite.channels import remove_unused
from edgefeat_export._convert.tflite.integer.facts import OPERATOR_NAMES

__all__ = ["fold_preprocessing"]

_OP = schema.BuiltinOperator
_PADS = frozenset({_OP.PAD, _OP.PADV2})
_TYPES = schema.TensorType

#: The largest difference of preprocessing from a matrix and an offset, in pixel levels: a gray image is rounded to
#: whole levels, as are the three colours that the matrix is measured on.
_LARGEST_ERROR = 1.5


@dataclass(frozen=True, slots=True)
class _Affine:
    """Preprocessing as a matrix (channels, 3) and an offset (channels,), from pixels 0 to 255."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def zero(self) -> int:
        """The pixel level that comes nearest to 0, which is what convolutions pad with."""
        levels = -self.offset / np.where(self.matrix.sum(1) == 0, 1.0, self.matrix.sum(1))
        return int(np.clip(np.rint(levels.mean()), 0, 255))


def fold_preprocessing(model: Any) -> int:
    """Move the preprocessing of a float32 `model` into its first convolutions, in place, and return a pixel level.

    The input is then float32, the image's pixels (0 to 255) less this level, which is nearest to what preprocessing
    turns into 0: convolutions pad with 0. Raises ExportError if preprocessing is not a matrix and an offset for each
    pixel, or if no convolution follows it.
    """
    (graph,) = model.subgraphs
    head = tail.head(model)
    (given,) = map(int, graph.inputs)
    ends = _ends(model, head)
    if len(ends) != 1:
        raise ExportError(f"its preprocessing has {len(ends)} results (required: 1)")
    (end,) = ends
    affine = _measured(model, sorted(head), end)
    for operator in _first_convolutions(model, end):
        _fold(model, operator, affine)
    graph.tensors[given].type = _TYPES.FLOAT32
    for operator in graph.operators:
        operator.inputs = [given if int(i) == end else i for i in operator.inputs]
    graph.operators = [operator for index, operator in enumerate(graph.operators) if index not in head]
    _set_depth(graph, given)
    remove_unused(model)
    return affine.zero


def _ends(model: Any, head: set[int]) -> set[int]:
    """Return the tensors of the preprocessing that other operators read."""
    (graph,) = model.subgraphs
    made = {int(i) for i in graph.inputs} | {int(i) for index in head for i in graph.operators[index].outputs}
    others = [operator for index, operator in enumerate(graph.operators) if index not in head]
    return {int(i) for operator in others for i in operator.inputs} & made


def _measured(model: Any, head: Sequence[int], end: int) -> _Affine:
    """Return preprocessing as a matrix and an offset, found by running it."""
    (graph,) = model.subgraphs
    part = copy.copy(model)
    part.subgraphs = [copy.copy(graph)]
    part.subgraphs[0].operators = [graph.operators[index] for index in head]
    part.subgraphs[0].outputs = [end]
    part.signatureDefs = []
    interpreter = Interpreter(model_content=bytes(flatbuffer.serialize(part)))
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    shape = tuple(given["shape"])

    def run(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        interpreter.set_tensor(given["index"], picture)
        interpreter.invoke()
        values: NDArray[np.float64] = interpreter.get_tensor(end).astype(np.float64)
        return values.reshape(-1, values.shape[-1])

    pure = np.zeros((4, *shape), np.uint8)
    for channel in range(3):
        pure[channel + 1, ..., channel] = 255
    offset, *full = (run(picture)[0] for picture in pure)
    matrix = (np.stack(full, axis=1) - offset[:, np.newaxis]) / 255.0
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    error = np.abs(run(picture) - (picture.reshape(-1, 3) @ matrix.T + offset)).max()
    if error > _LARGEST_ERROR * np.abs(matrix).sum(1).max():
        raise ExportError("its preprocessing is not a matrix and an offset for each pixel, so it cannot be folded")
    return _Affine(matrix, offset)


def _first_convolutions(model: Any, tensor: int) -> list[Any]:
    """Return the convolutions that read a tensor, directly or padded with zeros."""
    (graph,) = model.subgraphs
    found = []
    for operator in graph.operators:
        if tensor not in list(map(int, operator.inputs)):
            continue
        code = flatbuffer.op_code(model, operator)
        if code in _PADS and _pads_zeros(model, operator):
            found += _first_convolutions(model, int(operator.outputs[0]))
        elif code in (_OP.CONV_2D, _OP.DEPTHWISE_CONV_2D):
            found.append(operator)
        else:
            raise ExportError(
                f"{OPERATOR_NAMES[code]} follows its preprocessing, which can be merged only into a convolution"
            )
    return found


def _pads_zeros(model: Any, operator: Any) -> bool:
    if len(operator.inputs) < 3:
        return True
    content = flatbuffer.constant(model, model.subgraphs[0].tensors[operator.inputs[2]])
    return content is not None and not any(content)


def _fold(model: Any, operator: Any, affine: _Affine) -> None:
    """Give a convolution weights and a bias for pixels less `affine.zero`, in place."""
    (graph,) = model.subgraphs
    tensor = graph.tensors[operator.inputs[1]]
    content = flatbuffer.constant(model, tensor)
    if content is None:
        raise ExportError("the weights of its first convolution are computed, so preprocessing cannot be folded")
    weights = np.frombuffer(content, np.float32).reshape(tensor.shape).astype(np.float64)
    shift = affine.matrix.sum(1) * affine.zero + affine.offset
    if flatbuffer.op_code(model, operator) == _OP.CONV_2D:
        folded, added = weights @ affine.matrix, (weights @ shift).sum((1, 2))
    else:
        diagonal = np.diag(affine.matrix) if affine.matrix.shape == (3, 3) else np.zeros(0)
        if not np.array_equal(affine.matrix, np.diag(diagonal)):
            raise ExportError("its first convolution is depthwise, and preprocessing mixes channels")
        each = weights.shape[-1] // 3
        folded, added = weights * np.repeat(diagonal, each), (weights * np.repeat(shift, each)).sum((0, 1, 2))
    has_bias = len(operator.inputs) > 2 and operator.inputs[2] >= 0
    old = flatbuffer.constant(model, graph.tensors[operator.inputs[2]]) if has_bias else None
    bias = added if old is None else added + np.frombuffer(old, np.float32)
    flatbuffer.replace_constant(model, operator, 1, folded.astype(np.float32), "weights")
    flatbuffer.replace_constant(model, operator, 2, bias.astype(np.float32), "bias")


def _set_depth(graph: Any, tensor: int) -> None:
    """Give the results of paddings of `tensor` its number of channels."""
    depth = int(graph.tensors[tensor].shape[-1])
    for operator in graph.operators:
        shape = graph.tensors[operator.outputs[0]].shape
        if operator.inputs[0] == tensor and len(operator.inputs) == 2 and len(shape) == 4:
            result = graph.tensors[operator.outputs[0]]
            result.shape = [*map(int, shape[:-1]), depth]
