"""Finding images in a folder and its sub-folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from edgefeat._images.formats.suffixes import PICTURE_SUFFIXES

__all__ = ["pictures_in", "walk_pictures"]


def pictures_in(folder: str | os.PathLike[str], *, unlisted: Callable[[OSError], object] | None = None) -> list[str]:
    """Return the sorted paths of the images below `folder`, found by their ending. Hidden files are left out.

    `unlisted` is called for each folder that cannot be listed.
    """
    return list(walk_pictures(folder, unlisted=unlisted))


def walk_pictures(
    folder: str | os.PathLike[str], *, unlisted: Callable[[OSError], object] | None = None
) -> Iterator[str]:
    """Yield paths as `pictures_in` does, one at a time with little memory. Links to folders are not followed."""
    waiting = [iter(_listed(os.fspath(folder), unlisted))]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif not _is_folder(entry):
            if entry.name.lower().endswith(PICTURE_SUFFIXES):
                yield entry.path
        elif not entry.is_symlink():
            waiting.append(iter(_listed(entry.path, unlisted)))


def _listed(folder: str, unlisted: Callable[[OSError], object] | None) -> list[os.DirEntry[str]]:
    """Return the entries of a folder that are not hidden, by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        if unlisted is not None:
            unlisted(error)
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False
