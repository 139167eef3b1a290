"""The paths in the lists that a command names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgefeat._errors import ArgumentError
from edgefeat._images.sources.paths import STANDARD_INPUT, paths_in_list

__all__ = ["paths_in_lists"]


def paths_in_lists(lists: Iterable[str], *, by_nul: bool) -> Iterator[str]:
    """Yield the paths in all lists, as `paths_in_list` does. The error for standard input says what `-` means."""
    for file in lists:
        try:
            yield from paths_in_list(file, by_nul=by_nul)
        except ArgumentError:
            if file != STANDARD_INPUT:
                raise
            raise ArgumentError(
                "standard input is not a list of paths, one per line (- reads such a list, not a photo): name the "
                "photo's file, or for paths separated by NUL add -0"
            ) from None
