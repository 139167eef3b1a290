"""The variants of a bundle: their names and records, which are parts of the manifest."""

# No `annotations` from __future__: every record would have to compile its own at start-up.
from dataclasses import dataclass, field
from typing import Literal

from edgefeat._bundle.json_records import Record
from edgefeat._images.frames.form import FrameForm

__all__ = [
    "ALL_VARIANTS",
    "INTEGER",
    "VARIANTS",
    "Accuracy",
    "Fidelity",
    "File",
    "Format",
    "IntegerInput",
    "Integers",
    "Precision",
    "Quantization",
    "Variant",
]

Format = Literal["tflite", "onnx"]
Precision = Literal["float32", "float16", "dynamic", "int8", "integer"]
IntegerInput = Literal["uint8", "int8"]

#: The variants that an export writes by default, in the order in which `load` prefers them. Exact ones come first:
#: whether a smaller one is also faster can only be measured on the device.
VARIANTS = ("tflite-float32", "onnx-float32", "tflite-float16", "tflite-int8", "onnx-int8", "tflite-dynamic")

#: The variant for chips without floats. `load` takes it only if it is asked for or there is no other.
INTEGER = "tflite-integer"

ALL_VARIANTS = (*VARIANTS, INTEGER)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Accuracy(Record):
    """Classification accuracy with the features, as fractions of 1: the variant's and those of the Keras features.

    `nearest` is nearest-neighbour classification among the other images. `linear` is a cross-validated linear probe, or
    None if a label has only one image.
    """

    labels: int
    nearest: float
    nearest_keras: float
    linear: float | None
    linear_keras: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Fidelity(Record):
    """How close one tap's features are to the Keras features, on images that were not used for calibration.

    Cosines are between whole features; `low_cosine` is their 5th percentile. `maximum_difference` is the largest
    absolute difference of any element. `overlap` is the share of each image's ten nearest neighbours that stay the
    same; for `mixed_overlap` only the queries come from the variant and the gallery from Keras. `threshold_shift` is
    how far a cosine threshold must move to accept as many pairs as before (the nearest 1 %).
    """

    pictures: int
    mean_cosine: float
    low_cosine: float
    minimum_cosine: float
    maximum_difference: float
    overlap: float | None
    mixed_overlap: float | None
    threshold_shift: float | None
    accuracy: Accuracy | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class File(Record):
    """A file of the bundle: plain name, size in bytes, SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Quantization(Record):
    """An output of integers: a value is (integer - `zero_point`) * `scale`, before the tap's L2 norm."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Integers(Record):
    """How to run a variant that has no floats at all.

    `input` is the type of its pixels: uint8 as they are, or int8, the pixel minus 128. `outputs` are int8, by tap.
    `operators` are those that it uses, in the schema's names, and `wide_operations` the results with 16 bits.
    """

    input: IntegerInput
    outputs: dict[str, Quantization]
    operators: tuple[str, ...]
    wide_operations: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Variant(Record):
    """One model file. `fidelity` (by tap) and the golden features were measured on `engine` at `engine_version`.

    `correction` names the methods used to make int8 faithful. `float_operations` are the operations that an int8 file
    keeps in float besides its head and tail. With a `frame` the input is a camera's frame of that form instead of a
    prepared image, and the name ends in `@` and the frame's name.
    """

    name: str
    format: Format
    precision: Precision
    file: File
    engine: str
    engine_version: str
    fidelity: dict[str, Fidelity]
    correction: tuple[str, ...]
    float_operations: tuple[str, ...]
    # Missing in bundles written before frames were supported, and for prepared images.
    frame: FrameForm | None = field(default=None, metadata={"optional": True})
    # Only for `INTEGER`, whose features the runtime finishes in float32.
    integers: Integers | None = field(default=None, metadata={"optional": True})

    @property
    def base(self) -> str:
        """The name without the frame's, one of `ALL_VARIANTS`."""
        return f"{self.format}-{self.precision}"
