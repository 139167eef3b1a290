"""How large a picture may be, and how much of it must be there."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from edgefeat._errors import ArgumentError, PictureError

__all__ = ["DEFAULT_LIMITS", "LEAST_SHARE", "MAX_PIXELS", "Limits", "check_size", "raised", "truncation"]

#: The most pixels that are held decoded. Pillow takes 4 bytes a pixel, so this is 256 MB: what a Raspberry Pi with 1 GB
#: can spare.
MAX_PIXELS = 64_000_000

#: The share of its rows that a truncated picture must have where such are accepted, unless asked otherwise.
LEAST_SHARE = 0.5

# A side of 2 billion pixels is none that a decoder could be asked for.
_MOST_PIXELS = 4_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What is read. Raises ArgumentError for limits that no picture could have.

    `max_pixels` is what may be held decoded; the limits of each format follow from it. `least_share` is the share of
    its rows that a truncated picture must have: with 1 only whole pictures are read.
    """

    max_pixels: int = MAX_PIXELS
    least_share: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= _MOST_PIXELS:
            raise ArgumentError(f"max_pixels is {self.max_pixels} (allowed: 1 to {_MOST_PIXELS})")
        if not 0 < self.least_share <= 1:
            raise ArgumentError(f"least_share is {self.least_share} (allowed: above 0, to 1)")

    def check(self, size: tuple[int, int], *, what: str = "a picture", cost: float = 1.0) -> None:
        """Raises PictureError for `what` of that size where a pixel of it costs as much memory as `cost` others."""
        width, height = size
        if width < 1 or height < 1:
            raise PictureError(f"{width}x{height} pixels are no picture")
        if width * height * cost > self.max_pixels:
            raise PictureError(
                f"{what} of {width}x{height} pixels (allowed: {int(self.max_pixels / cost):,}): "
                + raised(int(width * height * cost))
            )


def truncation(share: float) -> str | None:
    """What to say of a picture of whose rows only a share is there; None of a whole one."""
    return None if share >= 1 else f"truncated: {int(100 * share)} % of its rows are there"


#: What is read unless asked otherwise.
DEFAULT_LIMITS = Limits()


def raised(pixels: int) -> str:
    """What raises the limit so far that `pixels` are read."""
    return f"to read it, use --max-pixels {pixels} or load(max_pixels={pixels})"


def check_size(image: Image.Image, limits: Limits) -> None:
    """Raises PictureError for an image of no pixels or more than `limits` allow."""
    limits.check(image.size)
