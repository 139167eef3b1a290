"""The watched folders together: which are there now, and the notices from them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from edgefeat._commands.services.watch.folders import Folder
from edgefeat._commands.services.watch.notices import Notices
from edgefeat._errors import ArgumentError

__all__ = ["Presence"]

_LOOK_SECONDS = 2.0


class Presence:
    """Looks after the folders. `tell` logs a line."""

    def __init__(self, folders: Sequence[str], *, poll: bool, tell: Callable[[str], None]) -> None:
        self.folders = [Folder(path) for path in _separate(folders)]
        self._remote = [folder for folder in self.folders if folder.is_remote]
        self._poll = poll
        self._tell = tell
        self._notices = Notices()
        self._looked: float | None = None

    @property
    def has_notices(self) -> bool:
        """Whether the system gives notices of all changes."""
        return self._notices.missing is None and not self._remote

    def holds(self, path: str) -> bool:
        """Return whether a path is below one of the folders, and not hidden."""
        return any(folder.holds(path) for folder in self.folders)

    def is_remote(self, path: str) -> bool:
        """Return whether a path is on a network drive."""
        return any(folder.holds(path) for folder in self._remote)

    def look(self, changed: Callable[[Folder], object]) -> None:
        """Look every 2 s whether folders have gone or are back; call `changed` for those."""
        now, first = time.monotonic(), self._looked is None
        if self._looked is not None and now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        differ = first
        for folder in self.folders:
            before = folder.identity
            if folder.look() or (before is None and folder.identity is None):
                continue
            differ = True
            if folder.identity is None:
                self._tell(f"{folder.path} is gone: waiting for it; the features of its photos are kept")
                changed(folder)
            elif not first:
                self._tell(f"{folder.path} is there again")
                changed(folder)
        if differ:
            self._listen()

    def changed(self, seconds: float) -> set[str]:
        """Return the paths that notices tell of. Wait up to `seconds` for the first."""
        return {self._as_named(path) for path in self._notices.changed(seconds)}

    def wake(self) -> None:
        """End the wait in `changed`."""
        self._notices.wake()

    def stop(self) -> None:
        """Stop listening."""
        self._notices.stop()

    def _as_named(self, path: str) -> str:
        """Return a path as the user names its folder: macOS resolves links."""
        for folder in self.folders:
            real = os.path.join(folder.real, "")
            if path.startswith(real):
                return os.path.join(folder.path, path[len(real) :])
        return path

    def _listen(self) -> None:
        there = [folder for folder in self.folders if folder.identity is not None]
        if self._poll:
            self._notices.missing = "--poll"
        else:
            self._notices.start([folder.path for folder in there if folder not in self._remote])
        if there:
            why = self._notices.missing or ("a network drive gives no notices" if self._remote else None)
            how = f" by searching ({why})" if why else ""
            self._tell(f"watching {', '.join(folder.path for folder in there)}{how}")


def _separate(folders: Sequence[str]) -> list[str]:
    """Return the absolute paths of the folders, without those that are inside another one."""
    whole = sorted({os.path.abspath(folder) for folder in folders})
    for path in whole:
        if not os.path.isdir(path):
            what = "is not a folder" if os.path.exists(path) else "does not exist"
            raise ArgumentError(f"{path} {what}: name a folder that photos arrive in")
    return [
        path for path in whole if not any(path.startswith(os.path.join(other, "")) for other in whole if other != path)
    ]
