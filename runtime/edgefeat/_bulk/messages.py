"""Messages between a run and its workers: one line of ASCII JSON each; a feature's bytes follow its answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from edgefeat._engines.device.cores import checked_threads
from edgefeat._store.records import Versions

__all__ = [
    "Answer",
    "Loaded",
    "Refusal",
    "Task",
    "WorkerSettings",
    "read_record",
    "take_records",
    "write_records",
]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker loads. `variant` and `engine` are None if the worker chooses them. `memory` is in bytes.

    `max_pixels` and `least_share` are the parameters of `edgefeat.load`.
    """

    bundle: str
    identity: str
    variant: str | None
    engine: str | None
    threads: int
    decoding: str
    precision: str
    memory: int
    max_pixels: int
    least_share: float

    def __post_init__(self) -> None:
        checked_threads(self.threads)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The first message of a worker: what it loaded, and with which versions."""

    variant: str
    engine: str
    reason: str
    engine_version: str = ""
    numpy: str = ""
    pillow: str = ""

    @property
    def versions(self) -> Versions:
        """The versions as a database records them."""
        return Versions(self.engine_version, self.numpy, self.pillow)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Sent by a worker that could not load the bundle: the class and the text of the error."""

    error: str
    text: str


@dataclass(frozen=True, slots=True)
class Task:
    """An image to compute, unless the SHA-256 of its content is among `known`."""

    path: str
    known: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a task. `same` means the content is already known; `scales` and `data` count the bytes that follow.

    `error` is the reason why there is no feature or, if there is one, says that the image is truncated.
    """

    size: int | None
    mtime_ns: int | None
    sha256: str | None
    same: bool
    error: str | None
    scales: int
    data: int


_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (WorkerSettings, Loaded, Refusal, Task, Answer)}


def write_records(stream: BinaryIO, records: Sequence[object], payload: bytes = b"") -> None:
    """Write the records in one call, followed by the payload of the last one."""
    lines = [_line(record) for record in records]
    stream.write(b"".join(lines) + payload)
    stream.flush()


def read_record(stream: BinaryIO) -> object | None:
    """Return the next record, of a kind without payload, or None at the end of the stream."""
    line = stream.readline()
    return _record(line) if line.endswith(b"\n") else None


def take_records(buffer: bytearray) -> list[tuple[object, bytes]]:
    """Remove the complete records and their payloads from the start of the buffer and return them."""
    taken: list[tuple[object, bytes]] = []
    start = 0
    while (end := buffer.find(b"\n", start)) >= 0:
        record = _record(buffer[start:end])
        after = end + 1 + (record.scales + record.data if isinstance(record, Answer) else 0)
        if len(buffer) < after:
            break
        taken.append((record, bytes(buffer[end + 1 : after])))
        start = after
    del buffer[:start]
    return taken


def _line(record: Any) -> bytes:
    fields = [getattr(record, name) for name in record.__slots__]
    return json.dumps([type(record).__name__, *fields]).encode("ascii") + b"\n"


def _record(line: bytes | bytearray) -> object:
    # The strict reader is not used here: both ends run the same version, paths and reasons may hold any text, and it is
    # slower.
    kind, *fields = json.loads(line)
    return _KINDS[kind](*fields)
