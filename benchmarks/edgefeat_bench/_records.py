"""What a benchmark run measured: raw samples in a JSON file, from which every statistic is computed.

Format 2. A run is one bundle with one number of threads on one machine. Within a `Series`, sample i of every contender
was taken in the same turn, of the same photo, so ratios are computed pair by pair.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgefeat import ArgumentError
from edgefeat._bundle.json_records import RecordError, from_json, to_json

FORMAT = 2

#: How contenders and programs are run. 2: Pillow's contenders do not copy an image that is RGB already, OpenVINO's
#: reorders channels after it resizes, timm's networks end with the features, and a folder is computed with edgefeat's
#: untuned default. Results of 1 say so, and are not compared with those of 2.
METHOD = 2

#: Who a contender belongs to: the full TensorFlow path, edgefeat, or another project.
Side = Literal["tensorflow", "edgefeat", "peer"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run was made. Runs of different machines are never merged."""

    processor: str
    architecture: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    governor: str | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """The state of the machine when the run began or ended. What is unknown is None."""

    load: float | None
    celsius: float | None
    megahertz: float | None
    throttled: str | None


@dataclass(frozen=True, slots=True)
class Contender:
    """One thing that is timed. `kind` says how it works (see `_contenders`); `name` is unique in a run."""

    name: str
    kind: str
    side: Side
    variant: str | None = None
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Photos:
    """The photos of one column of the table: files of about one size, or arrays (H, W, 3) in memory."""

    name: str
    megapixels: float
    files: tuple[str, ...]
    arrays: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A contender's samples on one set of photos: from file (or array) to feature, in seconds.

    `seconds[i]` is of photo `i % len(files)` in round `i // len(files)`. A contender that died has fewer rounds. The
    stages are of the same calls, and empty if they cannot be measured separately; if only `resize` is empty, resizing
    is part of `inference`.
    """

    photos: str
    seconds: tuple[float, ...]
    decode: tuple[float, ...] = ()
    resize: tuple[float, ...] = ()
    inference: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a contender.

    A `wrong` one is timed and shown as wrong: a feature is below `Run.right_cosine` to Keras's. An `absent` one could
    not be started, for the `reason`, and `remedy` is the command that helps. A `died` one stopped during the run. If
    `minimum_cosine` is None, features could not be compared, and `reason` says why; an `ok` one may have a remark.
    """

    contender: Contender
    status: Literal["ok", "wrong", "absent", "died"]
    reason: str
    remedy: str
    versions: dict[str, str]
    model_bytes: int | None
    minimum_cosine: float | None
    start_seconds: float | None
    peak_memory_bytes: int | None
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One photo's feature in a new process: seconds each time, peak memory, and size on disk.

    `isolated`: it ran as if only what it needs were installed.
    """

    name: str
    side: Side
    seconds: tuple[float, ...]
    peak_memory_bytes: int
    installed_bytes: int
    isolated: bool = field(default=False, metadata={"optional": True})


@dataclass(frozen=True, slots=True)
class Bulk:
    """A whole folder on all cores: photos, and the seconds each time, start of the process included."""

    name: str
    side: Side
    pictures: int
    seconds: tuple[float, ...]
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Quality:
    """How good features are on labelled photos; cosines and overlap are relative to the Keras float features.

    Accuracies are of the nearest neighbour, leaving each photo itself out, and of a linear probe, cross-validated.
    """

    name: str
    side: Side
    photos: int
    classes: int
    mean_cosine: float
    minimum_cosine: float
    overlap: float
    nearest_accuracy: float
    linear_accuracy: float


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Seconds for one photo at one size of the work, raw samples."""

    x: float
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """How a contender's cost grows with `axis`: input side, alpha, batch, threads or megapixels."""

    axis: Literal["input side", "alpha", "batch", "threads", "megapixels"]
    name: str
    side: Side
    points: tuple[CostPoint, ...]


@dataclass(frozen=True, slots=True)
class Peak:
    """Inference and the engine's own matrix product, which shows what the machine can do, measured the same way.

    Operations are multiplications and additions, two a multiply-accumulate.
    """

    engine: str
    variant: str
    model_operations: int
    model_seconds: tuple[float, ...]
    product_operations: int
    product_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One run: every contender called in turn, photo by photo. Features are compared with those of `reference`.

    `identity` is the bundle's. The order of the contenders is drawn from `seed` for each photo of each round. A run
    whose `after` is None was interrupted, and has its complete rounds. `isolated`: TensorFlow's contenders ran as if
    only what they need were installed. `method` is the `METHOD` that it was measured with.
    """

    format: int
    edgefeat: str
    date: str
    machine: Machine
    before: Conditions
    after: Conditions | None
    bundle: str
    identity: str
    network: str
    threads: int
    seed: int
    command: str
    photos: tuple[Photos, ...]
    rounds: int
    reference: str
    right_cosine: float
    results: tuple[Result, ...]
    cold_starts: tuple[ColdStart, ...] = ()
    bulk: tuple[Bulk, ...] = ()
    quality: tuple[Quality, ...] = ()
    costs: tuple[Cost, ...] = ()
    peaks: tuple[Peak, ...] = ()
    unstable: tuple[str, ...] = ()
    isolated: bool = field(default=False, metadata={"optional": True})
    method: int = field(default=1, metadata={"optional": True})

    @property
    def title(self) -> str:
        """The network and the number of threads."""
        return f"{self.network}, {self.threads} thread{'s' if self.threads != 1 else ''}"

    def write(self, path: Path) -> None:
        """Write the run as JSON, completely or not at all."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(to_json(self), indent=1) + "\n")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read the run at `path`. Raises ArgumentError for a file of another kind or format."""
        try:
            value = json.loads(path.read_text())
        except OSError as error:
            raise ArgumentError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ArgumentError(f"{path} is not a result of edgefeat-bench: {error}") from None
        if isinstance(value, dict) and value.get("format") not in (None, FORMAT):
            raise ArgumentError(
                f"{path} has format {value['format']!r}, this edgefeat-bench reads {FORMAT}: "
                "measure again with: edgefeat-bench run"
            )
        try:
            return from_json(cls, value)
        except RecordError as error:
            raise ArgumentError(f"{path} is not a result of edgefeat-bench: {error}") from None
