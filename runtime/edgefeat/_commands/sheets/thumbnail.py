"""Small pictures of photos, upright and whole, by the decoders and within the limits of every other picture."""

from __future__ import annotations

from PIL import Image

from edgefeat._images.form import PictureForm
from edgefeat._images.orientation import stored_orientation
from edgefeat._images.picture import decoded, fitted

__all__ = ["thumbnail"]


def thumbnail(path: str, side: int) -> Image.Image:
    """The photo in RGB, its longer side `side` pixels or as long as it is. Raises PictureError."""
    with decoded(path, PictureForm(side, side), "fast") as image:
        width, height = image.size
        if stored_orientation(image) >= 5:
            width, height = height, width
        scale = min(1.0, side / max(width, height))
        small = PictureForm(max(1, round(height * scale)), max(1, round(width * scale)))
        return Image.fromarray(fitted(image, small))
