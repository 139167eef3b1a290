"""C++ for TensorFlow Lite Micro: the operators that a file needs, and what turns its integers into a feature."""

from __future__ import annotations

from edgefeat import Manifest
from edgefeat._bundle.manifest import INTEGER, Integers, Tap, Variant

__all__ = ["integer_section", "resolver"]

#: Methods of `MicroMutableOpResolver` whose names are not the schema's in camel case.
_METHODS = {"PADV2": "AddPadV2"}


def resolver(integers: Integers) -> str:
    """Return C++ that makes the resolver with the operators of a file, and no more."""
    lines = [f"tflite::MicroMutableOpResolver<{len(integers.operators)}> resolver;"]
    lines += [f"resolver.{_method(name)}();" for name in integers.operators]
    return "\n".join(lines)


def _method(operator: str) -> str:
    words = operator.split("_")
    return _METHODS.get(operator, "Add" + "".join(word if word[0].isdigit() else word.capitalize() for word in words))


def integer_section(manifest: Manifest) -> str:
    """Return the card's section on the file without floats, or an empty string if there is none."""
    variant = next((one for one in manifest.variants if one.name == INTEGER), None)
    if variant is None or variant.integers is None:
        return ""
    integers = variant.integers
    pixels = "uint8, as they are" if integers.input == "uint8" else "int8, the pixel minus 128"
    rows = ["| output | integers | scale | zero point | then |", "|---|---|---|---|---|"]
    rows += [_row(tap, integers) for tap in manifest.taps]
    wide = ""
    if integers.wide_operations:
        wide = (
            f" {len(integers.wide_operations)} operations have 16-bit activations: Ethos-U and TensorFlow Lite Micro "
            "run them, Coral does not."
        )
    framed = ""
    if any(one.integers is not None and one.frame is not None for one in manifest.variants):
        framed = (
            " Files with a camera frame as their input convert and resize it in integers, and have the same output."
        )
    return f"""### NPUs and microcontrollers

`{variant.file.name}` has no float operation, from the pixels ({pixels}) to the output.{wide} A value is
(integer - zero point) x scale; the L2 norm is left to you. edgefeat does both by itself.{framed}

{chr(10).join(rows)}

A cosine needs neither scale nor norm: it is that of the integers less their zero point.

```sh
edgefeat npu {manifest.name}.edgefeat --target ethos-u55-128   # compile for Arm Ethos-U
edgefeat micro {manifest.name}.edgefeat -o firmware/           # run in TensorFlow Lite Micro; the file as a C array
```

{_firmware(manifest, variant, integers)}"""


def _row(tap: Tap, integers: Integers) -> str:
    one = integers.outputs[tap.name]
    shape = " x ".join(map(str, tap.shape))
    then = "L2 norm" if tap.normalization == "l2" else "nothing"
    return f"| `{tap.name}` | {shape} | {one.scale:.9g} | {one.zero_point} | {then} |"


def _firmware(manifest: Manifest, variant: Variant, integers: Integers) -> str:
    pixel = "uint8_t" if integers.input == "uint8" else "int8_t"
    size = f"{manifest.picture.height} * {manifest.picture.width} * 3"
    return f"""In C++, with TensorFlow Lite Micro. `edgefeat micro` prints the size of the arena:

```cpp
#include <cstring>

#include "feature_model.h"  // written by edgefeat micro
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

alignas(16) static uint8_t arena[kFeatureModelArenaSize];
{resolver(integers)}
tflite::MicroInterpreter interpreter(tflite::GetModel(feature_model), resolver, arena, sizeof(arena));
interpreter.AllocateTensors();
std::memcpy(interpreter.input(0)->data.raw, pixels, {size});  // {pixel}
interpreter.Invoke();
const int8_t* feature = interpreter.output(0)->data.int8;
```"""
