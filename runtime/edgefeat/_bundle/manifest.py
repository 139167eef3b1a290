"""What a bundle says of itself: `manifest.json`, schema version 1. The reader owns the schema; export only fills it."""

# No `annotations` from __future__: records would have to compile each of theirs when the program starts.
import json
import re
from dataclasses import dataclass
from typing import Literal

from edgefeat._bundle.json_records import Record, RecordError, from_json, to_json
from edgefeat._errors import BundleError
from edgefeat._images.form import PictureForm

__all__ = [
    "MANIFEST_NAME",
    "SCHEMA",
    "VARIANTS",
    "Accuracy",
    "Backbone",
    "Calibration",
    "Fidelity",
    "File",
    "Format",
    "Gate",
    "Manifest",
    "Precision",
    "Projection",
    "Refusal",
    "Tap",
    "Variant",
]

SCHEMA = 1
MANIFEST_NAME = "manifest.json"

# What flatbuffers and protobuf can address, and so no model file is longer.
_MAX_FILE_SIZE = 2**31

Format = Literal["tflite", "onnx"]
Precision = Literal["float32", "float16", "dynamic", "int8"]
Pooling = Literal["avg", "max", "gem", "flatten", "none"]

#: Every variant there is, in the order in which `load` prefers them: exact ones first, since only a
#: measurement on the device can tell whether a smaller one is also faster there.
VARIANTS = ("tflite-float32", "onnx-float32", "tflite-float16", "tflite-int8", "onnx-int8", "tflite-dynamic")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Backbone(Record):
    """Where the features come from: a backbone by name, its weights and the preprocessing baked into the graph."""

    name: str
    options: dict[str, str]
    weights: str
    weights_sha256: str
    preprocessing: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Projection(Record):
    """PCA baked in behind the pooling. `kept_variance` is a fraction of 1."""

    dimensions: int
    whiten: bool
    kept_variance: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tap(Record):
    """A named output of the model. `shape` is that of one image's feature: `(D,)`, or `(H, W, C)` unpooled."""

    name: str
    layer: str
    pooling: Pooling
    normalization: Literal["l2", "none"]
    projection: Projection | None
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Accuracy(Record):
    """How well labels are told from features, as fractions of 1: the variant's beside those of the Keras features.

    `nearest` gives each picture the label of its nearest other; `linear` is a linear probe, cross-validated, None where
    a label has but one picture.
    """

    labels: int
    nearest: float
    nearest_keras: float
    linear: float | None
    linear_keras: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Fidelity(Record):
    """How near one tap's features are to the Keras ones, over pictures that were not used for calibration.

    Cosines are of whole features, `low_cosine` their 5th percentile; `maximum_difference` is the largest absolute
    difference of any element. `overlap` is the share of each picture's ten nearest others that stay the same;
    `mixed_overlap` the same where only the queries are the variant's and the gallery is Keras's. `threshold_shift` is
    by how much a cosine threshold must move to call as many pairs alike as before (the nearest 1 %).
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
class Variant(Record):
    """One model file. `engine` and `engine_version` measured `fidelity` (by tap) and the golden features.

    `correction` names what was done to make int8 faithful; `float_operations` are those an int8 file keeps in float
    besides its head and tail.
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Gate(Record):
    """The least fidelity that int8 was held to: mean cosine and, if asked for, neighbour overlap@10."""

    mean_cosine: float
    overlap: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Refusal(Record):
    """A variant that was asked for and not written: why, and what to use in its place."""

    name: str
    reason: str
    substitute: str | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Calibration(Record):
    """The pictures that int8 was fitted to, and those that fidelity was measured on: none is among both.

    `check_source` says whether those were kept apart from the former, a folder of their own, or have generated ones
    among them because photos were few.
    """

    source: Literal["photos", "synthetic"]
    pictures: int
    check_source: Literal["kept apart", "evaluation", "synthetic", "mixed"]
    check_pictures: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Manifest(Record):
    """The whole of `manifest.json`."""

    schema: int
    name: str
    edgefeat: str
    tools: dict[str, str]
    backbone: Backbone
    picture: PictureForm
    taps: tuple[Tap, ...]
    calibration: Calibration
    gate: Gate
    variants: tuple[Variant, ...]
    refusals: tuple[Refusal, ...]
    golden: File
    card: File

    def files(self) -> tuple[File, ...]:
        """Every file the bundle holds beside the manifest itself."""
        return (*(variant.file for variant in self.variants), self.golden, self.card)

    def to_bytes(self) -> bytes:
        """The manifest as UTF-8 JSON."""
        return (json.dumps(to_json(self), indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """The manifest spelled out by `data`; BundleError for anything else than schema version 1, whole and typed."""
        try:
            value = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{MANIFEST_NAME} is not JSON: {error}") from None
        schema = value.get("schema") if isinstance(value, dict) else None
        if type(schema) is int and schema > SCHEMA:
            raise BundleError(
                f"{MANIFEST_NAME} has schema version {schema}, this edgefeat reads version {SCHEMA}: "
                "update it with: pip install -U edgefeat"
            )
        try:
            manifest = from_json(cls, value)
            _check(manifest)
        except (RecordError, RecursionError) as error:
            raise BundleError(f"{MANIFEST_NAME}: {error}") from None
        return manifest


def _check(manifest: Manifest) -> None:
    """Raises RecordError for what the types alone do not rule out."""
    if manifest.schema != SCHEMA:
        raise RecordError(f"schema is {manifest.schema} (allowed: {SCHEMA})")
    if not 1 <= manifest.picture.height <= 8192 or not 1 <= manifest.picture.width <= 8192:
        raise RecordError(f"picture is {manifest.picture.height}x{manifest.picture.width} (allowed: 1 to 8192 a side)")
    if not is_colour(manifest.picture.transparency):
        raise RecordError(f"transparency is {manifest.picture.transparency!r} (allowed: white, black, #rrggbb)")
    for what, names in (
        ("taps", [tap.name for tap in manifest.taps]),
        ("variants", [variant.name for variant in manifest.variants]),
        ("files", [file.name.casefold() for file in manifest.files()] + [MANIFEST_NAME]),
    ):
        if not names or len(set(names)) != len(names):
            raise RecordError(f"{what} has none or repeats a name: {', '.join(names) or 'none'}")
    for variant in manifest.variants:
        _check_variant(variant, {tap.name for tap in manifest.taps})
    for tap in manifest.taps:
        _check_tap(tap)
    for file in manifest.files():
        _check_file(file)


def _check_tap(tap: Tap) -> None:
    if tap.name in ("", ".", "..") or set(tap.name) & set("/\\"):  # a name in `golden.npz` and in what is written
        raise RecordError(f"taps: {tap.name!r} (allowed: a name without / and \\)")
    if not tap.shape or any(side < 1 for side in tap.shape):
        raise RecordError(f"taps: {tap.name} has shape {tap.shape} (allowed: positive sizes)")


def _check_file(file: File) -> None:
    if not is_plain_name(file.name):
        raise RecordError(f"file name {file.name!r} (allowed: a plain name inside the bundle)")
    if not 0 <= file.size <= _MAX_FILE_SIZE:
        raise RecordError(f"file {file.name}: size {file.size} is not possible (allowed: 0 to {_MAX_FILE_SIZE})")
    if re.fullmatch("[0-9a-f]{64}", file.sha256) is None:
        raise RecordError(f"file {file.name}: sha256 {file.sha256!r} is not possible (allowed: 64 hex digits)")


def _check_variant(variant: Variant, taps: set[str]) -> None:
    if variant.name not in VARIANTS or variant.name != f"{variant.format}-{variant.precision}":
        raise RecordError(f"variants: {variant.name!r} (allowed: {', '.join(VARIANTS)})")
    if variant.file.name != f"{variant.name}.{variant.format}":
        raise RecordError(f"variants: {variant.name} has file {variant.file.name!r}")
    if set(variant.fidelity) != taps:
        raise RecordError(f"variants: {variant.name} has fidelity for {sorted(variant.fidelity)}, not {sorted(taps)}")


def is_colour(name: str) -> bool:
    """Whether `name` is a colour that transparent pictures may be laid over."""
    return re.fullmatch("white|black|#[0-9a-f]{6}", name) is not None


def is_plain_name(name: str) -> bool:
    """Whether `name` can only be a file directly inside a folder, on every platform."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0") and name.isprintable()
