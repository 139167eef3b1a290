"""Read, label and write TFLite files as objects, with the schema included in ai-edge-litert."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat_export._convert.graph import INPUT

__all__ = ["SIGNATURE", "constant", "label", "op_code", "parse", "read", "replace_constant", "serialize", "taps"]

SIGNATURE = "serving_default"

#: A flatbuffer has signed 32-bit offsets.
_LIMIT = 2**31 - 1

#: Bytes to reserve for what is not weights.
_STRUCTURE = 1 << 20

_FILE_IDENTIFIER = b"TFL3"


def parse(content: bytes | bytearray | memoryview) -> Any:
    """Return the ModelT of a file's content, including constants stored after the flatbuffer.

    Constants are read-only views of `content`, not copies.
    """
    return flatbuffer_utils.read_model_from_bytearray(memoryview(content).toreadonly())


def read(path: Path) -> Any:
    """Return the ModelT of a file."""
    return parse(path.read_bytes())


def serialize(model: Any) -> memoryview:
    """Return the content of a file with every constant inside the flatbuffer, which every interpreter can read."""
    size = 0
    for buffer in model.buffers:
        if buffer.data is not None:
            # Only arrays are packed fast: anything else is packed byte by byte, in Python.
            if not isinstance(buffer.data, np.ndarray):
                buffer.data = np.frombuffer(buffer.data, np.uint8)
            size += buffer.data.nbytes
    if size > _LIMIT:
        raise ExportError(f"the model has {size:,} bytes of weights; a TFLite file holds at most {_LIMIT:,}")
    builder = _Builder(size + _STRUCTURE)  # a builder that has to grow copies all it holds
    builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
    return memoryview(builder.Bytes)[builder.Head() :]


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that copies a constant once; flatbuffers' own also makes two temporary copies."""

    head: int

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802
        self.StartVector(x.itemsize, x.size, x.dtype.alignment)
        end = self.head
        self.head = end - x.nbytes
        memoryview(self.Bytes)[self.head : end] = np.ascontiguousarray(x).view(np.uint8).data
        self.vectorNumElems = x.size
        offset: int = self.EndVector()
        return offset


def op_code(model: Any, operator: Any) -> int:
    """Return the BuiltinOperator of an operator; files written before 2021 have it in another field."""
    return int(flatbuffer_utils.get_builtin_code_from_operator_code(model.operatorCodes[operator.opcodeIndex]))


def constant(model: Any, tensor: Any) -> memoryview | None:
    """Return the bytes of a constant tensor, not copied, or None if the tensor is computed."""
    data = model.buffers[tensor.buffer].data
    return None if data is None or len(data) == 0 else memoryview(data)


def replace_constant(model: Any, operator: Any, place: int, values: NDArray[np.float32], name: str) -> None:
    """Replace a constant input of an operator with a new float32 one, because other operators may share the old one.

    `place` is the input's place, `name` ends the new tensor's name, if the operator has no such input of its own.
    """
    (graph,) = model.subgraphs
    index = int(operator.inputs[place]) if place < len(operator.inputs) else -1
    if index < 0 or sum(list(other.inputs).count(index) for other in graph.operators) > 1:
        tensor = schema.TensorT()
        tensor.name = graph.tensors[operator.outputs[0]].name + f"/{name}".encode()
        tensor.type = schema.TensorType.FLOAT32
        tensor.quantization = schema.QuantizationParametersT()
        graph.tensors.append(tensor)
        operator.inputs = [*operator.inputs[:place], len(graph.tensors) - 1, *operator.inputs[place + 1 :]]
    else:
        tensor = graph.tensors[index]
        if sum(other.buffer == tensor.buffer for other in graph.tensors) == 1:
            model.buffers[tensor.buffer].data = None
    buffer = schema.BufferT()
    buffer.data = np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.shape = list(values.shape)


def taps(model: Any) -> tuple[str, ...]:
    """Return the names of a labelled model's outputs, in order."""
    (graph,) = model.subgraphs
    return tuple(graph.tensors[index].name.decode() for index in graph.outputs)


def label(model: Any, taps: Sequence[str]) -> None:
    """Name the input `image` and the outputs after the taps, in order, in the tensors and in the only signature.

    Changes `model` in place. No other tensor keeps one of these names, because quantizers look tensors up by name.
    """
    (graph,) = model.subgraphs
    if len(graph.inputs) != 1 or len(graph.outputs) != len(taps):
        raise ExportError(
            f"the converted model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; "
            f"expected 1 and {len(taps)}"
        )
    names = {int(graph.inputs[0]): INPUT, **dict(zip(map(int, graph.outputs), taps, strict=True))}
    if len(names) != 1 + len(taps):
        raise ExportError(f"two of the taps {list(taps)} are the same tensor, or one is the input")
    taken = set(names.values())
    for index, tensor in enumerate(graph.tensors):
        name = tensor.name.decode() if isinstance(tensor.name, bytes) else tensor.name
        if index in names:
            name = names[index]
        else:
            # ai-edge-quantizer looks parameters up by name, and converters leave duplicate or empty names.
            name = name or "tensor"
            name = name if name not in taken else f"{name}/{index}"
            taken.add(name)
        tensor.name = name.encode()
    model.signatureDefs = [_signature(int(graph.inputs[0]), [int(index) for index in graph.outputs], taps)]
    model.description = b"edgefeat"


def _signature(source: int, outputs: Sequence[int], taps: Sequence[str]) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE.encode()
    signature.subgraphIndex = 0
    signature.inputs = [_tensor_map(INPUT, source)]
    signature.outputs = [_tensor_map(tap, index) for tap, index in zip(taps, outputs, strict=True)]
    return signature


def _tensor_map(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name = name.encode()
    entry.tensorIndex = index
    return entry
