"""What a benchmark run measured: raw samples in a JSON file; every statistic is derived from them.

Format 2. A run is one bundle with one number of threads on one machine. Within a `Series`, sample i of every contender
was taken in the same turn, of the same photo, so that ratios are computed pair by pair.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefeat import ArgumentError
from edgefeat._bundle.json_records import RecordError, from_json, to_json

__all__ = [
    "FORMAT",
    "Bulk",
    "ColdStart",
    "Conditions",
    "Contender",
    "Cost",
    "CostPoint",
    "Machine",
    "Peak",
    "Photos",
    "Quality",
    "Result",
    "Run",
    "Series",
]

FORMAT = 2

#: Who a contender belongs to: the full TensorFlow path, edgefeat, or another project.
Side = Literal["tensorflow", "edgefeat", "peer"]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run was made. Runs of unlike machines are never merged."""

    processor: str
    architecture: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    governor: str | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the machine was when the run began or ended. What it does not tell is None."""

    load: float | None
    celsius: float | None
    megahertz: float | None
    throttled: str | None


@dataclass(frozen=True, slots=True)
class Contender:
    """One thing that is timed. `kind` says how it works (see `_contenders`); `name` is its own within a run."""

    name: str
    kind: str
    side: Side
    variant: str | None = None
    engine: str | None = None


@dataclass(frozen=True, slots=True)
class Photos:
    """The pictures of one column of the table: files of about one size, or arrays (H, W, 3) already in memory."""

    name: str
    megapixels: float
    files: tuple[str, ...]
    arrays: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A contender's samples on one set of photos: from file (or array) to feature, in seconds.

    `seconds[i]` is of photo `i % len(files)` in round `i // len(files)`. A contender that died has fewer rounds. The
    stages are of the same calls, and empty where they cannot be told apart; an empty `resize` beside the others says
    that resizing is within `inference`.
    """

    photos: str
    seconds: tuple[float, ...]
    decode: tuple[float, ...] = ()
    resize: tuple[float, ...] = ()
    inference: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a contender.

    `wrong` ones are timed and shown as wrong: a feature of theirs is below `Run.right_cosine` to Keras's. `absent` ones
    could not be started, for the `reason`, and `remedy` is the command that brings them; `died` ones stopped midway.
    Where `minimum_cosine` is None features could not be compared, and `reason` says why; an `ok` one may have a remark.
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
    """From nothing to one photo's feature in a fresh process: seconds each time, the most memory, the size on disk."""

    name: str
    side: Side
    seconds: tuple[float, ...]
    peak_memory_bytes: int
    installed_bytes: int


@dataclass(frozen=True, slots=True)
class Bulk:
    """A whole folder at once on all cores: pictures, and the seconds each time, start of the process included."""

    name: str
    side: Side
    pictures: int
    seconds: tuple[float, ...]
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a contender's features are on labelled photos; cosines and overlap are to the Keras float features.

    Accuracies are by the nearest neighbour, leaving each photo itself out, and by a linear probe, cross-validated.
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
    """Seconds for one picture at one size of the work, raw samples."""

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
    """How near inference comes to what the machine can do: the engine's own matrix product, measured the same way.

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
    """One run: every contender called in turn, photo by photo. Features are held against those of `reference`.

    `identity` is the bundle's. The order of the contenders is drawn anew for each photo of each round, from `seed`. A
    run whose `after` is None was interrupted, and holds its complete rounds.
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

    def write(self, path: Path) -> None:
        """Writes the run as JSON, whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(to_json(self), indent=1) + "\n")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Run:
        """The run at `path`. Raises ArgumentError for a file of another kind or format."""
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
