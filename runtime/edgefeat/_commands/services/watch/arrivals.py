"""Photos that have been noticed, until they stand still: each is taken once, whole, however it arrives."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from edgefeat._commands.services.watch.openness import openness

__all__ = ["Arrivals", "Facts", "Settled", "facts"]

#: What tells a file from what it was: size, modification and change time in nanoseconds, inode.
Facts: TypeAlias = tuple[int, int, int, int]

# A file that some process keeps open for writing, and has not changed for this long, is taken all the same.
_OPEN_SECONDS = 300.0
# A photo that cannot be decoded may be an upload that has stalled: it is tried again at growing intervals, and reported
# if it has not changed for this many times the settling time.
_PATIENCE = 30.0
_LONGEST_LOOK = 10.0


@dataclass(frozen=True, slots=True)
class Settled:
    """A photo that has not changed for `still` seconds.

    `may_grow` means that it may be incomplete, if it cannot be decoded: nobody could say whether it is being written.
    """

    path: str
    facts: Facts
    still: float
    may_grow: bool

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.facts[0]

    @property
    def mtime_ns(self) -> int:
        """Its modification time in nanoseconds."""
        return self.facts[1]


@dataclass(slots=True)
class _Arrival:
    facts: Facts | None
    since: float
    due: float
    noticed: float


def facts(status: os.stat_result) -> Facts:
    """Return what tells a file from what it was."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


class Arrivals:
    """The photos that are arriving."""

    def __init__(self, settle: float, is_remote: Callable[[str], bool]) -> None:
        self._settle = settle
        self._is_remote = is_remote
        self._arriving: dict[str, _Arrival] = {}

    def __len__(self) -> int:
        return len(self._arriving)

    def __contains__(self, path: str) -> bool:
        return path in self._arriving

    def notice(self, path: str) -> None:
        """Look at a photo soon: it is new or has changed."""
        now = time.monotonic()
        arrival = self._arriving.get(path)
        if arrival is None:
            self._arriving[path] = _Arrival(None, now, now, now)
        else:
            arrival.due = min(arrival.due, now + self._settle)

    def again(self, photo: Settled) -> None:
        """Try a photo again later that could not be decoded and may grow."""
        now = time.monotonic()
        due = now + min(_LONGEST_LOOK, max(self._settle, photo.still / 2))
        self._arriving[photo.path] = _Arrival(photo.facts, now - photo.still, due, now)

    def wait(self) -> float | None:
        """Return the seconds until a photo is due, or None if none is arriving."""
        if not self._arriving:
            return None
        return max(0.0, min(arrival.due for arrival in self._arriving.values()) - time.monotonic())

    def oldest(self) -> float:
        """Return when the photo was noticed that has been arriving for longest; infinity if none is."""
        return min((arrival.noticed for arrival in self._arriving.values()), default=math.inf)

    def settled(self) -> Iterator[Settled]:
        """Yield the photos that stand still, and forget them. Photos that are gone are forgotten too."""
        now = time.monotonic()
        for path in [path for path, arrival in self._arriving.items() if arrival.due <= now]:
            arrival = self._arriving[path]
            try:
                status = os.stat(path)
            except OSError:
                del self._arriving[path]
                continue
            if not stat.S_ISREG(status.st_mode):
                del self._arriving[path]
                continue
            found = self._look(path, arrival, status, now)
            if found is not None:
                del self._arriving[path]
                yield found

    def _look(self, path: str, arrival: _Arrival, status: os.stat_result, now: float) -> Settled | None:
        now_is = facts(status)
        remote = self._is_remote(path)
        if now_is != arrival.facts:
            first = arrival.facts is None
            arrival.facts, arrival.since = now_is, now
            if first and not remote:
                # Its last change may be long ago. On network drives another clock says when it was.
                age = time.time() - max(status.st_mtime_ns, status.st_ctime_ns) / 1e9
                arrival.since -= max(0.0, age)
        still = now - arrival.since
        least = self._settle if status.st_size else _PATIENCE * self._settle  # many uploads begin with an empty file
        if still < least:
            arrival.due = now + min(_LONGEST_LOOK, least - still)
            return None
        state = "unknown" if remote else openness(path)
        if state == "written" and still < _OPEN_SECONDS:
            arrival.due = now + min(_LONGEST_LOOK, max(self._settle, still / 4))
            return None
        may_grow = state == "unknown" and still < _PATIENCE * self._settle
        return Settled(path, now_is, still, may_grow)
