"""From what a picture is given as to the one decoder its content asks for."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from edgefeat._errors import ArgumentError, PictureError
from edgefeat._limits import MAX_PIXELS, check_header, check_image

__all__ = ["as_picture_errors", "opened_image", "opened_stream"]

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


@contextmanager
def as_picture_errors() -> Iterator[None]:
    """Turns whatever a decoder raises into PictureError. Pillow promises no particular exception on malformed data."""
    try:
        yield
    except (PictureError, ArgumentError):
        raise
    except FileNotFoundError:
        raise PictureError("no such file") from None
    except PermissionError:
        raise PictureError("may not be read (permission denied)") from None
    except MemoryError:
        raise PictureError("does not fit into memory") from None
    except Image.DecompressionBombError:  # Pillow's own limit, far above ours
        raise PictureError(f"the header claims too many pixels (allowed: {MAX_PIXELS:,})") from None
    except UnidentifiedImageError:  # its text has only the address of a Python object
        raise PictureError("cannot be decoded: the header is damaged or of an unknown kind") from None
    except Exception as error:
        raise PictureError(f"cannot be decoded: {str(error) or type(error).__name__}") from error


@contextmanager
def opened_stream(source: object) -> Iterator[BinaryIO]:
    """The encoded file, at its start. Raises PictureError for what is no file, ArgumentError for what is no source."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(source))  # bytes() also takes a memoryview with gaps
    elif isinstance(source, str | os.PathLike):
        if not stat.S_ISREG(mode := os.stat(source).st_mode):  # asked before: opening a pipe waits for its other end
            raise PictureError(
                "is a folder, not a picture" if stat.S_ISDIR(mode) else "is a pipe or device, not a file"
            )
        with open(source, "rb") as stream:
            yield stream
    elif hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise ArgumentError(f"the file object gives {type(data).__name__}, expected bytes: open it with mode 'rb'")
        yield io.BytesIO(data)
    else:
        raise ArgumentError(
            f"a picture cannot be read from {type(source).__name__} "
            "(allowed: a path, bytes, a binary file object, a PIL image, a uint8 array)"
        )


def opened_image(stream: BinaryIO) -> ImageFile:
    """The opened but not yet decoded image, within the limits, of the one decoder its first bytes ask for."""
    decoder = _decoder(stream.read(16))
    stream.seek(0)
    if decoder == "WEBP":
        from PIL import WebPImagePlugin  # noqa: F401  registers the decoder
    elif decoder == "HEIF":
        _register_heif()
    check_header(stream, decoder)
    image = Image.open(stream, formats=(decoder,))
    check_image(image)
    return image


def _decoder(head: bytes) -> str:
    if not head:
        raise PictureError("the file is empty")
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head.startswith(b"BM"):
        return "BMP"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "HEIF"
    raise PictureError("not a JPEG, PNG, WebP, BMP, GIF or HEIC picture, by its content")


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise PictureError("HEIC needs one more package: pip install pillow-heif") from None
    register_heif_opener()
