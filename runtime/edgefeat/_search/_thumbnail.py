"""Small pictures of photos, upright and whole, by the decoders and within the limits of every other picture."""

from __future__ import annotations

from PIL import Image

from edgefeat._manifest import PictureForm
from edgefeat._picture import decoded, fitted

__all__ = ["thumbnail"]

_ORIENTATION_TAG = 0x0112


def thumbnail(path: str, side: int) -> Image.Image:
    """The photo in RGB, its longer side `side` pixels or as long as it is. Raises PictureError."""
    with decoded(path, PictureForm(side, side), "fast") as image:
        width, height = image.size
        if _lies(image):
            width, height = height, width
        scale = min(1.0, side / max(width, height))
        small = PictureForm(max(1, round(height * scale)), max(1, round(width * scale)))
        return Image.fromarray(fitted(image, small))


def _lies(image: Image.Image) -> bool:
    """Whether EXIF says that the stored picture is to be turned by a quarter."""
    try:
        return image.getexif().get(_ORIENTATION_TAG) in (5, 6, 7, 8)
    except Exception:  # noqa: BLE001  a broken EXIF block must not lose a good picture; Pillow raises many kinds here
        return False
