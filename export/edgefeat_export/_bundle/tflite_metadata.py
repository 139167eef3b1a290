"""The "TensorFlow Lite metadata" (schema 1.5.0) that MediaPipe and Android Studio read from a TFLite file.

The published schema is MediaPipe's `metadata_schema.fbs` (root `ModelMetadata`, file identifier M001). Tables are
written by the position of their fields in that file; unset fields are omitted, as in any flatbuffer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgefeat_export._convert.graph import INPUT
from edgefeat_export._convert.tflite import flatbuffer

__all__ = ["METADATA", "About", "Output", "describe"]

#: The name under which readers find the metadata in the model.
METADATA = "TFLITE_METADATA"

_IDENTIFIER = b"M001"
# The lowest schema version with every field written here: its first version has them all.
_PARSER_VERSION = "1.0.0"
_COLOR_SPACES = {None: 0, "rgb": 1, "gray": 2}  # ColorSpaceType
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions


@dataclass(frozen=True, slots=True)
class Output:
    """The name of an output tensor and a description of its content."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class About:
    """The description of a model whose input is a uint8 image, `height` x `width`.

    `input` describes the image; `color_space` is "rgb", "gray", or None for any other layout, which the schema lacks.
    """

    name: str
    description: str
    version: str
    author: str
    license: str
    height: int
    width: int
    outputs: tuple[Output, ...]
    input: str
    color_space: Literal["rgb", "gray"] | None = "rgb"


def describe(path: Path, about: About) -> None:
    """Write the metadata `about` into the TFLite file, replacing any it has; the network does not change.

    Outputs are described in the order of the file's outputs.
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
    """Fields by position; a number is paired with its flatbuffers type."""

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
    """Return the TensorMetadata of the input. Pixels are not normalized: mean 0, standard deviation 1."""
    size = _Table({0: ("Uint32", about.width), 1: ("Uint32", about.height)})
    space = ("Int8", _COLOR_SPACES[about.color_space])
    content = _Table({0: ("Uint8", _IMAGE_PROPERTIES), 1: _Table({0: space, 1: size})})
    normalization = _Table({0: [0.0], 1: [1.0]})
    return _Table(
        {
            0: INPUT,
            1: about.input,
            3: content,
            4: [_Table({0: ("Uint8", _NORMALIZATION), 1: normalization})],
            5: _Table({0: [255.0], 1: [0.0]}),
        }
    )


def _feature(output: Output) -> _Table:
    """Return the TensorMetadata of an output."""
    content = _Table({0: ("Uint8", _FEATURE_PROPERTIES), 1: _Table({})})
    return _Table({0: output.name, 1: output.description, 3: content})


def _write_table(builder: Any, table: _Table) -> int:
    """Write a table after everything it refers to, and return its offset."""
    places = {
        position: _write_value(builder, value)
        for position, value in table.fields.items()
        if not isinstance(value, tuple)
    }
    builder.StartObject(max(table.fields, default=-1) + 1)
    for position, value in table.fields.items():
        if isinstance(value, tuple):
            kind, number = value
            # Readers assume the default 0 for an omitted field.
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
