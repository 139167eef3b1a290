"""A model file as C++ source for firmware: the array, the arena's size, scale and zero point of each output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edgefeat import Manifest
from edgefeat._bundle.atomic_files import written_file
from edgefeat._bundle.manifest import Integers
from edgefeat_export._bundle.microcontroller import resolver

__all__ = ["HEADER", "SOURCE", "write_firmware"]

HEADER, SOURCE = "feature_model.h", "feature_model.cc"

_BYTES_IN_LINE = 16


def write_firmware(folder: Path, manifest: Manifest, integers: Integers, model: bytes, arena: int) -> None:
    """Write `feature_model.h` and `feature_model.cc` to `folder`. Raises OutputError if that is not possible."""
    for name, text in ((HEADER, _header(manifest, integers, len(model), arena)), (SOURCE, "".join(_source(model)))):
        with written_file(folder / name) as stream:
            stream.write(text.encode())


def _header(manifest: Manifest, integers: Integers, size: int, arena: int) -> str:
    form = manifest.picture
    pixel, less = ("uint8_t", "") if integers.input == "uint8" else ("int8_t", " less 128")
    outputs = "".join(_output(index, tap.name, integers) for index, tap in enumerate(manifest.taps))
    return f"""// {manifest.name}: made by edgefeat {manifest.edgefeat}.
// Input: {form.height} x {form.width} x 3 {pixel}, RGB pixels 0 to 255{less}. Output: int8.
//
// The operators that it uses:
//
{chr(10).join(f"//   {line}" for line in resolver(integers).splitlines())}
#pragma once

#include <cstddef>
#include <cstdint>

extern const unsigned char feature_model[];
constexpr size_t kFeatureModelSize = {size};

// Enough on a 64-bit machine, where it was measured; structures take less on a 32-bit one.
constexpr size_t kFeatureModelArenaSize = {arena};

constexpr int kFeatureModelHeight = {form.height};
constexpr int kFeatureModelWidth = {form.width};
{outputs}"""


def _output(index: int, tap: str, integers: Integers) -> str:
    one = integers.outputs[tap]
    name = re.sub(r"[^A-Za-z0-9]", "_", tap)
    return f"""
// Output {index}, {tap}: a value is (integer - zero point) * scale.
constexpr float kFeatureModelScale_{name} = {one.scale!r}f;
constexpr int kFeatureModelZeroPoint_{name} = {one.zero_point};
"""


def _source(model: bytes) -> Iterator[str]:
    yield f'#include "{HEADER}"\n\nalignas(16) const unsigned char feature_model[] = {{\n'
    for start in range(0, len(model), _BYTES_IN_LINE):
        yield f"  {','.join(f'0x{byte:02x}' for byte in model[start : start + _BYTES_IN_LINE])},\n"
    yield "};\n"
