"""The supported image formats, recognised by their first bytes. Pillow's other formats are never used."""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib import import_module
from typing import BinaryIO, NamedTuple

from PIL.ImageFile import ImageFile

from edgefeat._errors import PictureError
from edgefeat._images.formats import plugins
from edgefeat._images.formats.suffixes import SUFFIXES
from edgefeat._images.limits import Limits

__all__ = ["opened_image"]

# Pillow decodes it in Python with several copies in memory: a 2 KB file of 64 million pixels takes 1.3 GB and 6 s.
_RUN_LENGTH_COST = 16.0


class _Kind(NamedTuple):
    """A format: its name, the function that opens it, and the memory per pixel relative to 4 bytes.

    `check` names a module of this package and its function, which rejects files that would need too much time or
    memory, before anything is opened. Reading one photo imports only one of these modules.
    """

    name: str
    open: Callable[[BinaryIO], ImageFile]
    cost: float = 1.0
    check: tuple[str, str] | None = None


# libjpeg can scale by 8 while decoding; the result is checked once the scale is known.
_JPEG = _Kind("JPEG", plugins.open_jpeg, 1 / 8, ("jpeg", "check_jpeg"))
_PNG = _Kind("PNG", plugins.open_png, check=("png", "check_png"))
# libwebp holds two canvases and returns a copy: 16 bytes a pixel including Pillow's. libavif is similar.
_WEBP = _Kind("WebP", plugins.open_webp, 2)
_AVIF = _Kind("AVIF", plugins.open_avif, 2)
_HEIC = _Kind("HEIC", plugins.open_heif)
_TIFF = _Kind("TIFF", plugins.open_tiff, check=("tiff", "check_tiff"))
_JPEG2000 = _Kind("JPEG 2000", plugins.open_jpeg2000, 4, ("jpeg2000", "check_jpeg2000"))
_JXL = _Kind("JPEG XL", plugins.open_jxl, 4, ("jxl", "check_jxl"))
_BMP = _Kind("BMP", plugins.open_bmp)
_GIF = _Kind("GIF", plugins.open_gif, check=("gif", "check_gif"))
_PNM = _Kind("PNM", plugins.open_pnm, check=("pnm", "check_pnm"))

_HEAD = 64
_BEGINNINGS = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"BM", _BMP),
    *((start, _TIFF) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"\xff\x4f\xff\x51", _JPEG2000),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _JPEG2000),
    (b"\xff\x0a", _JXL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _JXL),
    *((b"P%d" % number, _PNM) for number in range(1, 7)),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEVC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis"})
_ANY_BRANDS = frozenset({b"mif1", b"msf1"})


def opened_image(stream: BinaryIO, limits: Limits) -> ImageFile:
    """Open an image of a supported format, without decoding it, within the limits.

    A JPEG may still be too large to decode at full size. Raises PictureError.
    """
    kind = _kind(stream.read(_HEAD))
    stream.seek(0)
    if kind.check is not None:
        module, name = kind.check
        check: Callable[[BinaryIO, Limits], None] = getattr(import_module(f"edgefeat._images.formats.{module}"), name)
        check(stream, limits)
        stream.seek(0)
    try:
        image = kind.open(stream)
    except (SyntaxError, IndexError, TypeError, struct.error):
        raise PictureError("cannot be decoded: the header is damaged or of an unknown type") from None
    limits.check(image.size, what=f"a {kind.name}", cost=kind.cost)
    if kind is _BMP and image.tile[0][0] == "bmp_rle":
        limits.check(image.size, what="a run-length BMP", cost=_RUN_LENGTH_COST)
    return image


def _kind(head: bytes) -> _Kind:
    if not head:
        raise PictureError("the file is empty")
    for start, kind in _BEGINNINGS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _WEBP
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(_HEAD, int.from_bytes(head[:4], "big")), 4))}
        if brands & _AVIF_BRANDS and head[8:12] not in _HEVC_BRANDS:
            return _AVIF
        if head[8:12] in _HEVC_BRANDS | _ANY_BRANDS:
            return _HEIC
    *names, last = SUFFIXES
    raise PictureError(f"not an image in a supported format ({', '.join(names)} or {last}), by its content")
