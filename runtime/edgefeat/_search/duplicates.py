"""Finding groups of near-duplicate photos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgefeat._errors import ArgumentError, checked_type
from edgefeat._search.components import Components
from edgefeat._search.near_pairs import near_pairs
from edgefeat._search.ranking import CHUNK, unit
from edgefeat._search.spill import Spill, spilled
from edgefeat._store.reader import FeatureStore
from edgefeat._store.records import Photo

__all__ = ["DEFAULT_THRESHOLD", "Duplicate", "duplicates"]

DEFAULT_THRESHOLD = 0.95


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A photo of a group: its cosine to the group's first photo, whether the files are identical, and its size in
    bytes. `is_link` says that the path is only a link to another photo of the group, or to the same as another link.
    """

    path: str
    cosine: float
    same_file: bool
    size: int | None
    is_link: bool = False


def duplicates(
    store: FeatureStore, threshold: float = DEFAULT_THRESHOLD, *, tap: str | None = None, progress: bool = False
) -> list[list[Duplicate]]:
    """Return groups of near-duplicate photos in `store`, largest group first.

    Two photos are in the same group if their cosine reaches `threshold`, or if a chain of such pairs connects them. A
    group's largest file comes first: usually the one to keep. Every pair is compared exactly. Memory holds a few
    thousand photos, the temporary folder (TMPDIR) all features in float32. `progress` shows a bar on standard error.
    Raises ArgumentError, StoreError, OutputError.
    """
    checked_type("store", store, (FeatureStore,), "a FeatureStore, such as FeatureStore.open('features.db')")
    checked_type("threshold", threshold, (int, float, np.number), "above 0, at most 1")
    if not 0 < threshold <= 1:
        raise ArgumentError(f"threshold is {threshold} (allowed: above 0, at most 1)")
    with spilled() as features:
        paths: list[str] = []
        for names, rows in store.chunks(tap, rows=CHUNK):
            paths += names
            features.add(unit(rows))
        features.open()
        components = Components(len(paths))
        for ones, others in near_pairs(features, threshold, progress=progress):
            components.join(ones, others)
        groups = components.groups()
        photos = _photos(store, {paths[place] for group in groups for place in group})
        # `edgefeat watch` may have removed photos meanwhile.
        left = ([place for place in group if paths[place] in photos] for group in groups)
        found = [_group(group, paths, photos, features) for group in left if len(group) > 1]
    return sorted(found, key=lambda group: (-len(group), group[0].path))


def _photos(store: FeatureStore, wanted: set[str]) -> dict[str, Photo]:
    return {photo.path: photo for photo in store.rows() if photo.path in wanted} if wanted else {}


def _group(places: Sequence[int], paths: Sequence[str], photos: dict[str, Photo], features: Spill) -> list[Duplicate]:
    links = _links([paths[place] for place in places])

    def rank(place: int) -> tuple[bool, int, int, str]:
        photo = photos[paths[place]]
        # Among equal sizes the shorter name first: "photo.jpg" before "photo (copy).jpg".
        return photo.path in links, -(photo.size or 0), len(os.path.basename(photo.path)), photo.path

    first, *rest = sorted(places, key=rank)
    kept = photos[paths[first]]
    group = [Duplicate(kept.path, 1.0, True, kept.size, kept.path in links)]
    cosines = features.take(np.array(rest)) @ features.take(np.array([first]))[0]
    for place, cosine in zip(rest, cosines.tolist(), strict=True):
        photo = photos[paths[place]]
        same = photo.sha256 is not None and photo.sha256 == kept.sha256
        group.append(Duplicate(photo.path, min(1.0, cosine), same, photo.size, photo.path in links))
    return [group[0], *sorted(group[1:], key=lambda one: (-one.cosine, one.path))]


def _links(paths: Sequence[str]) -> set[str]:
    """Return the paths that only lead to a file which another path leads to: all but the best way to each file."""
    files: dict[str, list[str]] = {}
    for path in paths:
        files.setdefault(os.path.realpath(path), []).append(path)
    return {
        path
        for file, ways in files.items()
        for path in sorted(ways, key=lambda way: (os.path.islink(way), os.path.abspath(way) != file, len(way), way))[1:]
    }
