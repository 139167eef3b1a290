"""From the paths that a user names to image paths: files, folders, archives, and lists of these."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from edgefeat._errors import ArgumentError, PictureError
from edgefeat._images.formats.suffixes import PICTURE_SUFFIXES
from edgefeat._images.sources.archives import archive_members, is_archive
from edgefeat._images.sources.folders import walk_pictures
from edgefeat._images.sources.urls import URL, url_advice

__all__ = ["STANDARD_INPUT", "paths_in_list", "pictures_of"]

#: Stands for standard input in place of a list.
STANDARD_INPUT = "-"

_BLOCK = 1 << 16
# Longer than any system allows.
_LONGEST = 1 << 17

#: Called with path and reason for each folder, archive or URL that cannot be used.
Unlisted = Callable[[str, str], object]


def pictures_of(paths: Iterable[str], unlisted: Unlisted, *, absolute: bool = False) -> Iterator[str]:
    """Yield the path of each image that `paths` stand for, in order: files, and the images in folders and archives.

    In folders and archives, images are found by their ending, and hidden files are left out.
    """
    for given in paths:
        if URL.match(given) and not os.path.exists(given):
            unlisted(given, url_advice(given))
            continue
        path = os.path.abspath(given) if absolute else given
        if os.path.isdir(path):
            yield from walk_pictures(
                path,
                unlisted=lambda error: unlisted(
                    os.fsdecode(error.filename), f"the folder cannot be listed: {error.strerror}"
                ),
            )
        elif is_archive(path):
            try:
                yield from (name for name in archive_members(path) if name.lower().endswith(PICTURE_SUFFIXES))
            except PictureError as error:
                unlisted(path, str(error))
        else:
            yield path


def paths_in_list(file: str, *, by_nul: bool) -> Iterator[str]:
    """Yield the paths in a list, one a line or separated by NUL (`by_nul`); `-` is standard input.

    Empty entries are left out. Raises ArgumentError if the list cannot be read or is not a list.
    """
    try:
        if file == STANDARD_INPUT:
            yield from _entries(sys.stdin.buffer, file, by_nul=by_nul)
        else:
            with open(file, "rb") as stream:
                yield from _entries(stream, file, by_nul=by_nul)
    except OSError as error:
        raise ArgumentError(f"--from-file {file!r} cannot be read: {error.strerror}") from None


def _entries(stream: BinaryIO, file: str, *, by_nul: bool) -> Iterator[str]:
    end = b"\0" if by_nul else b"\n"
    rest = b""
    while block := stream.read(_BLOCK):
        *whole, rest = (rest + block).split(end)
        if len(rest) > _LONGEST:
            whole.append(rest)
        for entry in whole:
            if path := _path(entry, file, by_nul=by_nul):
                yield path
    if path := _path(rest, file, by_nul=by_nul):
        yield path


def _path(entry: bytes, file: str, *, by_nul: bool) -> str:
    if len(entry) > _LONGEST or (not by_nul and b"\0" in entry):
        if file == STANDARD_INPUT:
            raise ArgumentError(
                "standard input is not a list of paths, one per line (- reads such a list, not a photo): name the "
                "photo's file, or for paths separated by NUL add -0"
            )
        raise ArgumentError(
            f"--from-file {file!r} is not a list of paths, one per line: for paths separated by NUL add -0"
        )
    return os.fsdecode(entry if by_nul else entry.removesuffix(b"\r"))
