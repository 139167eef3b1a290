"""The manifest of a bundle: `manifest.json`, schema version 1. Defined here, filled in by the export."""

# No `annotations` from __future__: every record would have to compile its own at start-up.
import json
import math
import re
from dataclasses import dataclass, field
from typing import Literal

from edgefeat._bundle.json_records import Record, RecordError, from_json, to_json
from edgefeat._bundle.variant import (
    ALL_VARIANTS,
    INTEGER,
    VARIANTS,
    Accuracy,
    Fidelity,
    File,
    Format,
    IntegerInput,
    Integers,
    Precision,
    Quantization,
    Variant,
)
from edgefeat._errors import ArgumentError, BundleError
from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import check_frame
from edgefeat._version import update_command

__all__ = [
    "ALL_VARIANTS",
    "INTEGER",
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
    "IntegerInput",
    "Integers",
    "Manifest",
    "Normalization",
    "Pooling",
    "Precision",
    "Projection",
    "Quantization",
    "Refusal",
    "Tap",
    "Tokens",
    "Variant",
]

SCHEMA = 1
MANIFEST_NAME = "manifest.json"

# The limit of flatbuffers and protobuf, so no model file is larger.
_MAX_FILE_SIZE = 2**31

Pooling = Literal["avg", "max", "gem", "cls", "mean", "mean-patches", "flatten", "none"]
Normalization = Literal["l2", "none"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Backbone(Record):
    """The source of the features: the backbone's name, its weights and the preprocessing built into the graph."""

    name: str
    options: dict[str, str]
    weights: str
    weights_sha256: str
    preprocessing: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Projection(Record):
    """PCA applied after the pooling. `kept_variance` is a fraction of 1."""

    dimensions: int
    whiten: bool
    kept_variance: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tokens(Record):
    """The tokens of a layer that gives `count` vectors instead of a feature map, before they are pooled.

    `special` names the tokens at the start that are not patches, in order: "class", "distillation" or "register". The
    others are patches, row by row: `grid` is their rows and columns, or empty if not known. `authors_pooling` is how
    the backbone's authors make one vector of them, or None if not known.
    """

    count: int
    special: tuple[str, ...]
    grid: tuple[int, ...]
    authors_pooling: Pooling | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tap(Record):
    """A named output of the model.

    `shape` is the shape of one image's feature: `(D,)`; if unpooled `(H, W, C)`, or `(T, D)` for tokens that are not
    only a grid of patches. `tokens` describes the layer's tokens; None for a feature map or a vector.
    """

    name: str
    layer: str
    pooling: Pooling
    normalization: Normalization
    projection: Projection | None
    shape: tuple[int, ...]
    # Missing in bundles written before tokens were supported, and for layers without tokens.
    tokens: Tokens | None = field(default=None, metadata={"optional": True})


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Gate(Record):
    """The least fidelity required of int8 variants: mean cosine and, optionally, neighbour overlap@10."""

    mean_cosine: float
    overlap: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Refusal(Record):
    """A variant that was requested but not written: the reason, and what to use instead."""

    name: str
    reason: str
    substitute: str | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Calibration(Record):
    """The images used to calibrate int8, and those used to measure fidelity. No image is in both sets.

    `check_source` tells where the second set comes from: images kept apart from the first, an evaluation folder of its
    own, generated images, or a mix because there were too few photos.
    """

    source: Literal["photos", "synthetic"]
    pictures: int
    check_source: Literal["kept apart", "evaluation", "synthetic", "mixed"]
    check_pictures: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Manifest(Record):
    """The content of `manifest.json`."""

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
        """Return every file of the bundle except the manifest itself."""
        return (*(variant.file for variant in self.variants), self.golden, self.card)

    def input_shape(self, variant: Variant) -> tuple[int, ...]:
        """Return the shape of one input of a variant: a prepared image, or a camera's frame."""
        return (self.picture.height, self.picture.width, 3) if variant.frame is None else variant.frame.shape

    def to_bytes(self) -> bytes:
        """Return the manifest as UTF-8 JSON."""
        return (json.dumps(to_json(self), indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Parse a manifest. Raises BundleError unless `data` is complete, well-typed and of schema version 1."""
        try:
            value = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{MANIFEST_NAME} is not JSON: {error}") from None
        schema = value.get("schema") if isinstance(value, dict) else None
        if type(schema) is int and schema > SCHEMA:
            raise BundleError(
                f"{MANIFEST_NAME} has schema version {schema}, this edgefeat reads version {SCHEMA}: "
                f"update it: {update_command()}"
            )
        try:
            manifest = from_json(cls, value)
            _check(manifest)
        except (RecordError, RecursionError) as error:
            raise BundleError(f"{MANIFEST_NAME}: {error}") from None
        return manifest


def _check(manifest: Manifest) -> None:
    """Raise RecordError for values that have the right type but are not possible."""
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
            raise RecordError(f"{what} are empty or repeat a name: {', '.join(names) or 'none'}")
    for variant in manifest.variants:
        _check_variant(variant, {tap.name for tap in manifest.taps})
    for tap in manifest.taps:
        _check_tap(tap)
    for file in manifest.files():
        _check_file(file)


def _check_tap(tap: Tap) -> None:
    if tap.name in ("", ".", "..") or set(tap.name) & set("/\\"):  # used as a name in `golden.npz` and in outputs
        raise RecordError(f"taps: {tap.name!r} (allowed: a name without / and \\)")
    if not tap.shape or any(side < 1 for side in tap.shape):
        raise RecordError(f"taps: {tap.name} has shape {tap.shape} (allowed: positive sizes)")
    if tap.tokens is not None:
        _check_tokens(tap.name, tap.tokens)


def _check_tokens(tap: str, tokens: Tokens) -> None:
    patches = tokens.count - len(tokens.special)
    fits = not tokens.grid or (len(tokens.grid) == 2 and tokens.grid[0] * tokens.grid[1] == patches)
    if patches < 1 or min(tokens.grid, default=1) < 1 or not fits:
        grid = "x".join(map(str, tokens.grid)) or "no grid"
        raise RecordError(f"taps: {tap} has {tokens.count} tokens, {len(tokens.special)} of them special, and {grid}")


def _check_file(file: File) -> None:
    if not is_plain_name(file.name):
        raise RecordError(f"file name {file.name!r} (allowed: a plain name inside the bundle)")
    if not 0 <= file.size <= _MAX_FILE_SIZE:
        raise RecordError(f"file {file.name}: size {file.size} is not valid (allowed: 0 to {_MAX_FILE_SIZE})")
    if re.fullmatch("[0-9a-f]{64}", file.sha256) is None:
        raise RecordError(f"file {file.name}: sha256 {file.sha256!r} is not valid (allowed: 64 hex digits)")


def _check_variant(variant: Variant, taps: set[str]) -> None:
    frame = variant.frame
    if frame is not None:
        try:
            check_frame(frame)
        except ArgumentError as error:
            raise RecordError(f"variants: {error}") from None
    expected = variant.base if frame is None else f"{variant.base}@{frame.name}"
    if variant.base not in ALL_VARIANTS or variant.name != expected:
        raise RecordError(f"variants: {variant.name!r} (allowed: {', '.join(ALL_VARIANTS)})")
    if variant.file.name != f"{variant.name}.{variant.format}":
        raise RecordError(f"variants: {variant.name} has file {variant.file.name!r}")
    if set(variant.fidelity) != taps:
        raise RecordError(f"variants: {variant.name} has fidelity for {sorted(variant.fidelity)}, not {sorted(taps)}")
    _check_integers(variant, taps)


def _check_integers(variant: Variant, taps: set[str]) -> None:
    integers = variant.integers
    if (variant.precision == "integer") != (integers is not None):
        raise RecordError(f"variants: {variant.name} has {'no' if integers is None else 'unexpected'} integers")
    if integers is None:
        return
    if set(integers.outputs) != taps:
        raise RecordError(f"variants: {variant.name} has integers for {sorted(integers.outputs)}, not {sorted(taps)}")
    for tap, one in integers.outputs.items():
        if not 0 < one.scale < math.inf or not -128 <= one.zero_point <= 127:
            raise RecordError(
                f"variants: {variant.name} has scale {one.scale} and zero point {one.zero_point} for {tap} "
                "(allowed: a scale above 0, a zero point from -128 to 127)"
            )


def is_colour(name: str) -> bool:
    """Return whether `name` is a colour that can be put behind transparent images."""
    return re.fullmatch("white|black|#[0-9a-f]{6}", name) is not None


def is_plain_name(name: str) -> bool:
    """Return whether `name` can only be a file directly inside a folder, on every platform."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0") and name.isprintable()
