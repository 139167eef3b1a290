"""Which pictures calibrate and which check: read once, prepared as a device prepares them, and never both."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefeat import ArgumentError, ExportError, PictureError
from edgefeat._files import pictures_in
from edgefeat._manifest import Calibration, PictureForm
from edgefeat._picture import read_picture
from edgefeat_export._synthetic import dead_leaves

__all__ = ["SYNTHETIC", "CalibrationSet", "gather"]

#: What `calibration` is called where no photos are given.
SYNTHETIC = "synthetic"

_MOST_CALIBRATING, _MOST_CHECKING = 200, 64
_SYNTHETIC_CALIBRATING, _SYNTHETIC_CHECKING = 100, 32
# Fewer photos than this to check on say little: synthetic ones are added.
_FEWEST_CHECKING = 8


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """`calibrating` and `checking` are uint8 (N, H, W, 3) with no picture in common; `about` goes into the manifest."""

    calibrating: NDArray[np.uint8]
    checking: NDArray[np.uint8]
    about: Calibration


def gather(
    source: str | os.PathLike[str], form: PictureForm, *, seed: int, tell: Callable[[str], None]
) -> CalibrationSet:
    """The pictures of the folder `source`, or generated ones for `"synthetic"`; four fifths calibrate, the rest check.

    Which goes where depends on `seed` and on the files' contents alone; the same content twice counts once. Unreadable
    files are told of and left out. Raises ArgumentError for a missing folder, ExportError where no photo is readable.
    """
    if str(source) == SYNTHETIC:
        tell(
            "no photos were given: calibrating and checking on generated pictures; "
            "photos like those to come are better (--calibration FOLDER)"
        )
        pictures = dead_leaves(_SYNTHETIC_CALIBRATING + _SYNTHETIC_CHECKING, form.height, form.width, seed=seed)
        return _set(pictures[:_SYNTHETIC_CALIBRATING], pictures[_SYNTHETIC_CALIBRATING:], SYNTHETIC, seed)
    folder = Path(source)
    if not folder.is_dir():
        raise ArgumentError(
            f"calibration {str(source)!r} is not a folder (allowed: a folder of photos, or {SYNTHETIC!r})"
        )
    paths = _ordered(pictures_in(folder), seed)
    if len(paths) > _MOST_CALIBRATING + _MOST_CHECKING:
        tell(f"{len(paths)} photos: {_MOST_CALIBRATING + _MOST_CHECKING} of them are used, chosen by their content")
    photos = _read(paths, form, tell)
    if not len(photos):
        raise ExportError(f"no readable photo in {folder}: give a folder of photos, or --calibration {SYNTHETIC}")
    checking = min(_MOST_CHECKING, len(photos) // 5)
    return _filled(photos[checking:], photos[:checking], form, seed, tell)


def _ordered(paths: list[str], seed: int) -> list[str]:
    """One path for each content, in the order of their seeded hashes: random, but the same wherever the files lie."""
    by_hash = {}
    for path in paths:
        digest = hashlib.sha256(str(seed).encode())
        digest.update(Path(path).read_bytes())
        by_hash[digest.digest()] = path
    return [path for _, path in sorted(by_hash.items())]


def _read(paths: list[str], form: PictureForm, tell: Callable[[str], None]) -> NDArray[np.uint8]:
    pictures: list[NDArray[np.uint8]] = []
    for path in paths:
        if len(pictures) == _MOST_CALIBRATING + _MOST_CHECKING:
            break
        try:
            pictures.append(read_picture(path, form, "exact"))
        except PictureError as error:
            tell(f"left out of the calibration: {path}: {error}")
    return np.stack(pictures) if pictures else np.zeros((0, form.height, form.width, 3), np.uint8)


def _filled(
    calibrating: NDArray[np.uint8],
    checking: NDArray[np.uint8],
    form: PictureForm,
    seed: int,
    tell: Callable[[str], None],
) -> CalibrationSet:
    """The photos, with generated pictures added where they are too few to check on."""
    lacking = _FEWEST_CHECKING - len(checking)
    if lacking > 0:
        tell(f"{len(calibrating) + len(checking)} photos are few: {lacking} generated pictures were added to check on")
        generated = dead_leaves(lacking, form.height, form.width, seed=seed)
        checking = np.concatenate([checking, generated])
    return _set(calibrating, checking, "photos", seed)


def _set(calibrating: NDArray[np.uint8], checking: NDArray[np.uint8], source: str, seed: int) -> CalibrationSet:
    about = Calibration(
        source="synthetic" if source == SYNTHETIC else "photos",
        pictures=len(calibrating),
        check_pictures=len(checking),
        seed=seed,
    )
    return CalibrationSet(calibrating, checking, about)
