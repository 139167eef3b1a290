"""From the bytes of a file to an opened image: the formats there are, each with its limits."""

from __future__ import annotations

from edgefeat._formats._jpeg import scans_begun
from edgefeat._formats._kinds import PICTURE_SUFFIXES, opened_image
from edgefeat._formats._tiff import MOST_EXIF_BYTES, check_directory

__all__ = ["MOST_EXIF_BYTES", "PICTURE_SUFFIXES", "check_directory", "opened_image", "scans_begun"]
