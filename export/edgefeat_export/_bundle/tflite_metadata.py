"""What a TFLite file says of itself to MediaPipe and Android Studio: "TensorFlow Lite metadata", schema 1.5.0.

The published schema is MediaPipe's `metadata_schema.fbs` (root `ModelMetadata`, file identifier M001). A table is
written here by its fields' positions in that file; what is not set is left out, as flatbuffers has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.graph import INPUT
from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["METADATA", "About", "Output", "describe"]

#: By this name readers look the metadata up in the model.
METADATA = "TFLITE_METADATA"

_IDENTIFIER = b"M001"
# The least version of the schema that has every field written here: all are of its first.
_PARSER_VERSION = "1.0.0"
_RGB = 1  # ColorSpaceType
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions


@dataclass(frozen=True, slots=True)
class Output:
    """An output by its tensor's name, and what it holds in words."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class About:
    """What is said of a model: its input is an RGB picture of bytes, `height` x `width`."""

    name: str
    description: str
    version: str
    author: str
    license: str
    height: int
    width: int
    outputs: tuple[Output, ...]


def describe(path: Path, about: About) -> None:
    """Put the metadata of `about` into the TFLite file, in the place of any it has; the network stays as it is.

    The outputs are described in the order of the file's own.
    """
    model = flatbuffer.read(path)
    described = {output.name: output for output in about.outputs}
    outputs = [described[name] for name in flatbuffer.taps(model)]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_written(about, outputs), np.uint8)
    for entry in model.metadata or []:
        if _text(entry.name) == METADATA:
            model.buffers[entry.buffer] = buffer
            break
    else:
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA.encode(), len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]
    path.write_bytes(flatbuffer.serialize(model))


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


@dataclass(frozen=True, slots=True)
class _Table:
    """Fields by position; a number has its flatbuffers type beside it."""

    fields: Mapping[int, _Value]


_Number = tuple[str, int]
_Value = str | _Number | _Table | Sequence[float] | Sequence[_Table]


def _written(about: About, outputs: Sequence[Output]) -> bytes:
    network = _Table({2: [_picture(about)], 3: [_feature(output) for output in outputs]})
    model = _Table(
        {
            0: about.name,
            1: about.description,
            2: about.version,
            3: [network],
            4: about.author,
            5: about.license,
            7: _PARSER_VERSION,
        }
    )
    builder = flatbuffers.Builder(4096)
    builder.Finish(_write_table(builder, model), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _picture(about: About) -> _Table:
    """TensorMetadata of the input. Its values are taken as they are: mean 0, standard deviation 1."""
    size = _Table({0: ("Uint32", about.width), 1: ("Uint32", about.height)})
    content = _Table({0: ("Uint8", _IMAGE_PROPERTIES), 1: _Table({0: ("Int8", _RGB), 1: size})})
    normalization = _Table({0: [0.0], 1: [1.0]})
    return _Table(
        {
            0: INPUT,
            1: f"A photo, upright, resized to {about.height} x {about.width}: RGB, 0 to 255, as it is. "
            "Preprocessing is inside the model.",
            3: content,
            4: [_Table({0: ("Uint8", _NORMALIZATION), 1: normalization})],
            5: _Table({0: [255.0], 1: [0.0]}),
        }
    )


def _feature(output: Output) -> _Table:
    """TensorMetadata of an output."""
    content = _Table({0: ("Uint8", _FEATURE_PROPERTIES), 1: _Table({})})
    return _Table({0: output.name, 1: output.description, 3: content})


def _write_table(builder: Any, table: _Table) -> int:
    """Where the table is. What it refers to has to be written before it."""
    places = {
        position: _write_value(builder, value)
        for position, value in table.fields.items()
        if not isinstance(value, tuple)
    }
    builder.StartObject(max(table.fields, default=-1) + 1)
    for position, value in table.fields.items():
        if isinstance(value, tuple):
            kind, number = value
            # The default 0 is what a reader takes for a field that is left out.
            getattr(builder, f"Prepend{kind}Slot")(position, number, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(position, places[position], 0)
    return int(builder.EndObject())


def _write_value(builder: Any, value: str | _Table | Sequence[float] | Sequence[_Table]) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, _Table):
        return _write_table(builder, value)
    tables = [_write_table(builder, item) for item in value if isinstance(item, _Table)]
    builder.StartVector(4, len(value), 4)
    for item in reversed(tables or value):
        if tables:
            builder.PrependUOffsetTRelative(item)
        else:
            builder.PrependFloat32(item)
    return int(builder.EndVector())
