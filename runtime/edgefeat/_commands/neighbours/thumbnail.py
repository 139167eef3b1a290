"""Thumbnails of photos, upright and uncropped, read by the same decoders and limits as all images."""

from __future__ import annotations

from PIL import Image

from edgefeat._images.form import PictureForm
from edgefeat._images.limits import DEFAULT_LIMITS, Limits
from edgefeat._images.orientation import stored_orientation
from edgefeat._images.picture import decoded, fitted

__all__ = ["thumbnail"]


def thumbnail(path: str, side: int, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """Return the photo in RGB, its longer side at most `side` pixels. Raises PictureError."""
    with decoded(path, PictureForm(side, side), "fast", limits) as image:
        width, height = image.size
        if stored_orientation(image) >= 5:
            width, height = height, width
        scale = min(1.0, side / max(width, height))
        small = PictureForm(max(1, round(height * scale)), max(1, round(width * scale)))
        return Image.fromarray(fitted(image, small))
