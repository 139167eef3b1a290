"""The EXIF orientation of an image."""

from __future__ import annotations

import io

from PIL import Image

from edgefeat._errors import PictureError
from edgefeat._images.form import PictureForm

__all__ = ["MIRRORED_ACROSS", "MIRRORED_DOWN", "TRANSPOSES", "orientation", "stored_orientation", "tag_orientation"]

#: The transposition that turns an image of each EXIF orientation upright.
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: The orientations whose horizontal, or vertical, axis is reversed when turned upright.
MIRRORED_ACROSS, MIRRORED_DOWN = (2, 3, 7, 8), (3, 4, 6, 7)

_TAG = 0x0112
# The maximum size of a JPEG's EXIF block. Blocks up to this size cannot have enough tags to use up memory.
_SMALL_EXIF = 65_536


def orientation(image: Image.Image, form: PictureForm) -> int:
    """Return the EXIF orientation to apply, 1 to 8; 1 (upright) if `form` ignores it or none can be read."""
    return 1 if form.orientation == "ignore" else stored_orientation(image)


def stored_orientation(image: Image.Image) -> int:
    """Return the orientation that still has to be applied, 1 to 8; 1 if none or unknown."""
    if image.format == "TIFF":  # Pillow turns it upright while decoding; some versions leave the tag
        return 1
    return tag_orientation(image)


def tag_orientation(image: Image.Image) -> int:
    """Return the orientation given in the file, 1 to 8; 1 if none can be read."""
    if image.format in ("JPEG", "MPO") and not {"exif", "xmp"} & image.info.keys():
        return 1
    if image.format == "JXL" and not getattr(image, "jpeg", False):  # applied already, except to recompressed JPEG
        return 1
    try:
        _check_exif(image)
        value = image.getexif().get(_TAG, 1)
    except Exception:  # noqa: BLE001  a broken EXIF block must not lose a good picture; Pillow raises many kinds here
        return 1
    return value if value in TRANSPOSES else 1


def _check_exif(image: Image.Image) -> None:
    """Raise PictureError for a block whose tags claim more data than possible: Pillow would copy it for each tag."""
    exif = image.info.get("exif", b"")
    if isinstance(exif, bytes) and len(exif) > _SMALL_EXIF:
        from edgefeat._images.formats.tiff import check_directory

        check_directory(io.BytesIO(exif.removeprefix(b"Exif\0\0")))
    if len(image.info.get("Raw profile type exif", "")) > 2 * _SMALL_EXIF:  # in hexadecimal
        raise PictureError(f"an EXIF block in text of more than {_SMALL_EXIF:,} bytes")
