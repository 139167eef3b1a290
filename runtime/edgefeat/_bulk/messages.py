"""What passes between the run and a worker: a line of ASCII JSON each, after an answer's the feature's bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

__all__ = [
    "Answer",
    "Hello",
    "Refusal",
    "Task",
    "WorkerSettings",
    "read_record",
    "take_records",
    "write_records",
]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker loads. `variant` and `engine` are None where it is to choose. `memory` in bytes.

    `max_pixels` and `least_share` are those of `edgefeat.load`.
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


@dataclass(frozen=True, slots=True)
class Hello:
    """The first thing a worker says: what it loaded."""

    variant: str
    engine: str
    engine_version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a worker says where it could not load the bundle: the error's class and text."""

    error: str
    text: str


@dataclass(frozen=True, slots=True)
class Task:
    """A picture to compute, unless its content has one of the `known` SHA-256."""

    path: str
    known: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a task. `same` says that the content is known; `scales` and `data` count the bytes that follow.

    `error` says why there is no feature, or where there is one, that its picture is truncated.
    """

    size: int | None
    mtime_ns: int | None
    sha256: str | None
    same: bool
    error: str | None
    scales: int
    data: int


_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (WorkerSettings, Hello, Refusal, Task, Answer)}


def write_records(stream: BinaryIO, records: Sequence[object], payload: bytes = b"") -> None:
    """Writes records at once, and after the last the bytes that belong to it."""
    lines = [_line(record) for record in records]
    stream.write(b"".join(lines) + payload)
    stream.flush()


def read_record(stream: BinaryIO) -> object | None:
    """The next record, of a kind that no bytes follow; None at the end."""
    line = stream.readline()
    return _record(line) if line.endswith(b"\n") else None


def take_records(buffer: bytearray) -> list[tuple[object, bytes]]:
    """Takes the records that are whole, with their bytes, from the front of what was read."""
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
    # Not by the strict reader: both ends are this version, a path or a reason may hold anything, and it takes longer.
    kind, *fields = json.loads(line)
    return _KINDS[kind](*fields)
