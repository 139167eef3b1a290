"""Taking the exchange of colour channels (RGB to BGR) out of a TFLite model and into its first convolution."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["fold_exchange"]

_OP = schema.BuiltinOperator

#: Operators that treat all channels alike, or by a constant of one figure per channel.
_CHANNELWISE = frozenset({_OP.ADD, _OP.SUB, _OP.MUL, _OP.DIV})


def fold_exchange(model: Any) -> bool:
    """Whether an exchange of channels was found and taken out, in place; the features stay the same.

    The exchange is three strided copies and an interleaving, which no engine does quickly: about a tenth of the
    time of an int8 ResNet50. It goes where it costs nothing: into the constants of the arithmetic behind it and
    the input channels of the first convolution. Where the model has another form it stays as it is.
    """
    (graph,) = model.subgraphs
    for packed, operator in enumerate(graph.operators):
        order = _order(model, operator)
        if order is None:
            continue
        path = _path_to_convolution(model, int(operator.outputs[0]))
        if path is None:
            continue
        source = _maker(model, operator.inputs[0]).inputs[0]
        for index in path:
            step = graph.operators[index]
            # A convolution's third input, its bias, belongs to the channels that it makes.
            step.inputs = [_permuted(model, int(i), order) if at < 2 else i for at, i in enumerate(step.inputs)]
        first = graph.operators[path[0]]
        first.inputs = [source if i == operator.outputs[0] else i for i in first.inputs]
        del graph.operators[packed]
        _remove_unused(model)
        return True
    return False


def _order(model: Any, operator: Any) -> tuple[int, ...] | None:
    """The channel of one same picture that each channel of a PACK comes from."""
    if flatbuffer.op_code(model, operator) != _OP.PACK or operator.builtinOptions.axis not in (3, -1):
        return None
    (graph,) = model.subgraphs
    order, sources = [], set()
    for index in operator.inputs:
        maker = _maker(model, index)
        if maker is None or flatbuffer.op_code(model, maker) != _OP.STRIDED_SLICE:
            return None
        begin, strides = (_integers(model, maker.inputs[i]) for i in (1, 3))
        whole = graph.tensors[maker.inputs[0]].shape[:3] == graph.tensors[index].shape
        if not whole or maker.builtinOptions.shrinkAxisMask != 8 or len(begin) != 4 or set(strides) != {1}:
            return None
        order.append(begin[3])
        sources.add(int(maker.inputs[0]))
    return tuple(order) if len(sources) == 1 and sorted(order) == [0, 1, 2] else None


def _path_to_convolution(model: Any, tensor: int) -> list[int] | None:
    """The operators from a tensor to the first convolution, itself included, where nothing else uses the tensors."""
    (graph,) = model.subgraphs
    path: list[int] = []
    while True:
        users = [index for index, operator in enumerate(graph.operators) if tensor in list(operator.inputs)]
        if len(users) != 1 or tensor in list(graph.outputs):
            return None
        operator = graph.operators[users[0]]
        path.append(users[0])
        code = flatbuffer.op_code(model, operator)
        if code == _OP.CONV_2D:
            weights = graph.tensors[operator.inputs[1]]
            alone = operator.inputs[0] == tensor and weights.shape[3] == 3
            return path if alone and flatbuffer.constant(model, weights) is not None else None
        if code not in _CHANNELWISE and code != _OP.PAD:
            return None
        others = [graph.tensors[i] for i in operator.inputs if i != tensor]
        if any(flatbuffer.constant(model, other) is None for other in others):
            return None
        tensor = int(operator.outputs[0])


def _permuted(model: Any, index: int, order: tuple[int, ...]) -> int:
    """The tensor itself, or of a constant with 3 channels last a copy with its channels put back."""
    (graph,) = model.subgraphs
    tensor = graph.tensors[index]
    content = flatbuffer.constant(model, tensor)
    if content is None or tensor.shape is None or list(tensor.shape[-1:]) != [3]:
        return index
    values = np.frombuffer(content, np.uint8).reshape(-1, 3, len(content) // int(np.prod(tensor.shape)))
    back = np.empty_like(values)
    back[:, list(order)] = values
    buffer = schema.BufferT()
    buffer.data = back.reshape(-1)
    model.buffers.append(buffer)
    copied = copy.copy(tensor)
    copied.buffer = len(model.buffers) - 1
    graph.tensors.append(copied)
    return len(graph.tensors) - 1


def _remove_unused(model: Any) -> None:
    """Take out operators whose results nobody uses, tensors that no operator has, and their constants."""
    (graph,) = model.subgraphs
    used = {int(i) for i in graph.outputs}
    kept = []
    for operator in reversed(graph.operators):
        if used & set(map(int, operator.outputs)):
            used |= {int(i) for i in [*operator.inputs, *operator.outputs] if i >= 0}
            kept.append(operator)
    graph.operators = kept[::-1]
    used |= {int(i) for i in graph.inputs}
    places = {old: new for new, old in enumerate(sorted(used))} | {-1: -1}
    graph.tensors = [graph.tensors[i] for i in sorted(used)]
    graph.inputs = [places[int(i)] for i in graph.inputs]
    graph.outputs = [places[int(i)] for i in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [places[int(i)] for i in operator.inputs]
        operator.outputs = [places[int(i)] for i in operator.outputs]
    needed = {int(holder.buffer) for holder in [*graph.tensors, *(model.metadata or [])]}
    for index, buffer in enumerate(model.buffers):
        if index not in needed:
            buffer.data = None


def _maker(model: Any, tensor: int) -> Any:
    (graph,) = model.subgraphs
    return next((operator for operator in graph.operators if tensor in list(operator.outputs)), None)


def _integers(model: Any, index: int) -> list[int]:
    content = flatbuffer.constant(model, model.subgraphs[0].tensors[index])
    return [] if content is None else np.frombuffer(content, np.int32).tolist()
