"""From the bytes of a file to an opened image: the formats there are, each with its limits."""

from __future__ import annotations

from edgefeat._formats._kinds import PICTURE_SUFFIXES, opened_image

__all__ = ["PICTURE_SUFFIXES", "opened_image"]
