"""Limits: how large an image may be, and how much of it must be in the file."""

from __future__ import annotations

from dataclasses import dataclass

from edgefeat._errors import ArgumentError, PictureError, checked_whole

__all__ = [
    "DEFAULT_LIMITS",
    "LEAST_SHARE",
    "MAX_PIXELS",
    "TO_READ_IT",
    "Limits",
    "OversizeError",
    "limit_advice",
    "truncation",
    "without_advice",
]

#: The default limit on decoded pixels. Pillow takes 4 bytes a pixel, so this is 256 MB, which a Raspberry Pi with 1 GB
#: can spare.
MAX_PIXELS = 64_000_000

#: The default share of its rows that a truncated image must have, where truncated images are accepted.
LEAST_SHARE = 0.5

#: The beginning of the advice how an image can be read that is refused.
TO_READ_IT = "to read it, use"

# No decoder supports sides of 2 billion pixels.
_MOST_PIXELS = 4_000_000_000


class OversizeError(PictureError):
    """An image is larger than the limits allow. It may be read with higher ones."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be read. Raises ArgumentError for impossible limits.

    `max_pixels` is the number of decoded pixels; the limits of each format follow from it. `least_share` is the share
    of its rows that a truncated image must have; with 1 only complete images are read.
    """

    max_pixels: int = MAX_PIXELS
    least_share: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_pixels", checked_whole("max_pixels", self.max_pixels, most=_MOST_PIXELS))
        try:
            is_share = 0 < self.least_share <= 1
        except (TypeError, ValueError):
            is_share = False
        if not is_share:
            raise ArgumentError(f"least_share is {self.least_share!r} (allowed: above 0, to 1)")

    def check(self, size: tuple[int, int], *, what: str = "an image", cost: float = 1.0) -> None:
        """Raise OversizeError if `what` is too large. `cost` is the memory of a pixel relative to 4 bytes."""
        width, height = size
        if width < 1 or height < 1:
            raise PictureError(f"{width}x{height} pixels are not an image")
        if width * height * cost > self.max_pixels:
            raise OversizeError(
                f"{what} of {width}x{height} pixels (allowed: {int(self.max_pixels / cost):,}): "
                + limit_advice(int(width * height * cost))
            )


def truncation(share: float) -> str | None:
    """Return the note for an image with only a share of its rows, or None if it is complete."""
    return None if share >= 1 else f"truncated: {int(100 * share)} % of its rows are there"


#: The default limits.
DEFAULT_LIMITS = Limits()


def without_advice(error: PictureError) -> str:
    """Return an error's message without the options that read the image, for who does not have them."""
    return str(error).partition(f": {TO_READ_IT}")[0]


def limit_advice(pixels: int) -> str:
    """Return advice on how to raise the limit to `pixels`."""
    if pixels > _MOST_PIXELS:
        return f"more than {_MOST_PIXELS:,} are never read: the header is damaged, or save it smaller"
    return f"{TO_READ_IT} --max-pixels {pixels} or load(max_pixels={pixels})"
