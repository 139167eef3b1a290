"""Where features go: a database or a file of lines. Both know what they hold, and take changes whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgefeat._bulk.messages import Answer, Loaded, Task
from edgefeat._store.records import Known, StoreIdentity

__all__ = ["Done", "Results", "Written"]


@dataclass(frozen=True, slots=True)
class Done:
    """A worker's answer to a task, with the encoded feature, or the reason why there is none."""

    task: Task
    answer: Answer
    payload: bytes


@dataclass(slots=True)
class Written:
    """What a write changed: paths of new and changed photos, of photos that were known by content, of failed photos
    with the reason, and of removed ones. `again` are the tasks to compute after all.
    """

    added: list[str]
    moved: list[str]
    failed: list[tuple[str, str]]
    removed: list[str]
    again: list[Task]


class Results(Protocol):
    """Where features go. All methods raise StoreError or OutputError if the file cannot be read or written now."""

    #: The name of the file.
    place: str

    def begin(self, identity: StoreIdentity, loaded: Loaded) -> None:
        """Note what makes the features. Nothing is written."""

    def known(self, path: str) -> Known | None:
        """Return what is known of a photo, or None."""

    def below(self, folder: str) -> Iterator[str]:
        """Yield the known photos below a folder that may have been removed."""

    def hashes_of_size(self, size: int) -> Sequence[str]:
        """Return hashes of known photos of this size, whose features need not be computed again."""

    def write(self, done: Sequence[Done], removed: Sequence[str]) -> Written:
        """Write what is done and remove what is gone, or change nothing and raise."""

    def close(self) -> None:
        """Close the file."""
