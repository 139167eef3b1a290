"""Which way up a stored picture is."""

from __future__ import annotations

import io

from PIL import Image

from edgefeat._errors import PictureError
from edgefeat._images.form import PictureForm

__all__ = ["MIRRORED_ACROSS", "MIRRORED_DOWN", "TRANSPOSES", "orientation", "stored_orientation", "tag_orientation"]

#: How a picture of each EXIF orientation is turned upright.
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Which stored axes an orientation turns round on the way upright.
MIRRORED_ACROSS, MIRRORED_DOWN = (2, 3, 7, 8), (3, 4, 6, 7)

_TAG = 0x0112
# A JPEG's EXIF block has at most so many bytes, and so few tags that their values cannot be more than Pillow can hold.
_SMALL_EXIF = 65_536


def orientation(image: Image.Image, form: PictureForm) -> int:
    """The EXIF orientation that `form` asks to follow, 1 to 8; 1 (upright) where there is none that can be read."""
    return 1 if form.orientation == "ignore" else stored_orientation(image)


def stored_orientation(image: Image.Image) -> int:
    """How the pixels still have to be turned, 1 to 8; 1 where they need not, or nothing that can be read says so."""
    if image.format == "TIFF":  # Pillow itself turns it while it decodes; some versions leave the tag
        return 1
    return tag_orientation(image)


def tag_orientation(image: Image.Image) -> int:
    """The orientation that the file gives, 1 to 8; 1 where there is none that can be read."""
    if image.format in ("JPEG", "MPO") and not {"exif", "xmp"} & image.info.keys():
        return 1
    if image.format == "JXL" and not getattr(image, "jpeg", False):  # turned already, unless it was made of a JPEG
        return 1
    try:
        _check_exif(image)
        value = image.getexif().get(_TAG, 1)
    except Exception:  # noqa: BLE001  a broken EXIF block must not lose a good picture; Pillow raises many kinds here
        return 1
    return value if value in TRANSPOSES else 1


def _check_exif(image: Image.Image) -> None:
    """Raises PictureError for a block whose tags claim more than they could have: Pillow would copy it for each."""
    exif = image.info.get("exif", b"")
    if isinstance(exif, bytes) and len(exif) > _SMALL_EXIF:
        from edgefeat._images.formats.tiff import check_directory

        check_directory(io.BytesIO(exif.removeprefix(b"Exif\0\0")))
    if len(image.info.get("Raw profile type exif", "")) > 2 * _SMALL_EXIF:  # in hexadecimal
        raise PictureError(f"an EXIF block in text of more than {_SMALL_EXIF:,} bytes")
