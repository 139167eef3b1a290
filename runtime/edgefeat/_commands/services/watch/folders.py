"""The watched folders: whether they are there, what they hold, and which of their drives have been mounted."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from edgefeat._images.formats.suffixes import PICTURE_SUFFIXES
from edgefeat._images.sources.folders import walk_pictures

__all__ = ["Folder", "is_photo", "mounts"]

# Their servers do not tell this machine of files that other machines write, and grant no leases.
_REMOTE = frozenset(
    {"9p", "afs", "ceph", "cifs", "drvfs", "fuse.sshfs", "fuse.rclone", "glusterfs", "nfs", "nfs4", "prl_fs", "smb3"}
    | {"smbfs", "vboxsf", "virtiofs"}
)

# A blank in a name, for example.
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(slots=True)
class Folder:
    """A watched folder. `identity` is its device and inode while it is there."""

    path: str
    identity: tuple[int, int] | None = None
    #: The path without links.
    real: str = ""

    def __post_init__(self) -> None:
        self.real = os.path.realpath(self.path)

    def look(self) -> bool:
        """Return whether the same folder as before is there. A drive that was mounted or removed makes another one."""
        now = self._identity()
        same = now is not None and now == self.identity
        self.identity = now
        return same

    @property
    def is_there(self) -> bool:
        """Whether it is there and is the folder of the last `look`."""
        return self.identity is not None and self._identity() == self.identity

    @property
    def is_remote(self) -> bool:
        """Whether it is on a network drive."""
        return any(kind in _REMOTE for kind in _kinds(self.path))

    def holds(self, path: str) -> bool:
        """Return whether the path is below this folder and no part of it below is hidden."""
        start = os.path.join(self.path, "")
        return path.startswith(start) and not any(part.startswith(".") for part in path[len(start) :].split(os.sep))

    def photos(self) -> Iterator[str]:
        """Yield the path of each photo, found by its ending. Folders that cannot be listed are left out."""
        return walk_pictures(self.path)

    def is_gone(self, path: str, *, seen: bool) -> bool:
        """Return whether a photo was removed, as opposed to being out of reach.

        Without having `seen` the photo, an empty folder in its place says nothing: its drive may not be mounted.
        """
        try:
            os.lstat(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                return False  # such as a network drive that does not answer
        else:
            return False
        return self.is_there and (seen or not _is_empty(self._nearest(path)))

    def _nearest(self, path: str) -> str:
        """Return the nearest folder above the path that exists."""
        above = os.path.dirname(path)
        while above != self.path and not os.path.isdir(above):
            above = os.path.dirname(above)
        return above

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.path)
            with os.scandir(self.path):  # a drive that fails can still be named
                return status.st_dev, status.st_ino
        except OSError:
            return None


def is_photo(path: str) -> bool:
    """Return whether a path has the ending of a supported format."""
    return path.lower().endswith(PICTURE_SUFFIXES)


def mounts() -> frozenset[str]:
    """Return the folders on which something is mounted. Empty on other systems than Linux."""
    return frozenset(place for place, _ in _mounted())


def _mounted() -> list[tuple[str, str]]:
    """Return every mount's folder and kind of file system."""
    found = []
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            before, _, after = line.partition(b" - ")
            place = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), before.split(b" ")[4])
            found.append((os.fsdecode(place), after.split(b" ")[0].decode("ascii", "replace")))
    return found


def _kinds(path: str) -> set[str]:
    """Return the kinds of the file systems at and below the path."""
    real = os.path.realpath(path)
    at: tuple[str, str] = ("", "")
    kinds = set()
    for place, kind in _mounted():
        if (real == place or real.startswith(os.path.join(place, ""))) and len(place) >= len(at[0]):
            at = place, kind
        elif place.startswith(os.path.join(real, "")):
            kinds.add(kind)
    return kinds | {at[1]}


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True
