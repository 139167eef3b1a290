"""Opening an image source as a stream, and converting decoder errors to PictureError."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image

from edgefeat._errors import ArgumentError, PictureError
from edgefeat._images.sources.urls import URL, url_advice

__all__ = ["as_picture_errors", "opened_stream"]


@contextmanager
def as_picture_errors() -> Iterator[None]:
    """Convert any error of a decoder to PictureError. Pillow may raise any exception on malformed data."""
    try:
        yield
    except (PictureError, ArgumentError):
        raise
    except FileNotFoundError as error:
        name = str(error.filename or "")
        raise PictureError(url_advice(name) if URL.match(name) else "no such file") from None
    except PermissionError:
        raise PictureError("cannot be read: permission denied") from None
    except MemoryError:
        raise PictureError("does not fit into memory") from None
    except Image.DecompressionBombError:  # Pillow's own limit, which GIF and TIFF reach
        allowed = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise PictureError(
            f"the header claims more pixels than Pillow accepts (allowed: {allowed:,}; PIL.Image.MAX_IMAGE_PIXELS)"
        ) from None
    except Exception as error:
        said = " ".join(str(error).split())  # plugins may use several lines
        raise PictureError(f"cannot be decoded: {said or type(error).__name__}") from error


@contextmanager
def opened_stream(source: object) -> Iterator[BinaryIO]:
    """Open the encoded file. Raises PictureError if it is not a file, ArgumentError for an unsupported type."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(source))  # bytes() also accepts a memoryview with gaps
    elif isinstance(source, str | os.PathLike):
        if (path := os.fspath(source)) and isinstance(path, str) and "!/" in path:
            from edgefeat._images.sources.archives import member_path, read_member

            if (member := member_path(path)) is not None:
                yield io.BytesIO(read_member(*member))
                return
        if not stat.S_ISREG(mode := os.stat(source).st_mode):  # checked first: opening a pipe blocks
            raise PictureError("is a folder, not an image" if stat.S_ISDIR(mode) else "is a pipe or device, not a file")
        with open(source, "rb") as stream:
            yield stream
    elif hasattr(source, "read"):
        # A file of text fails to decode before it returns anything.
        data = "" if isinstance(source, io.TextIOBase) else source.read()
        if not isinstance(data, bytes):
            raise ArgumentError(
                f"the file object returns {type(data).__name__}, expected bytes: open it with mode 'rb'"
            )
        yield io.BytesIO(data)
    else:
        raise ArgumentError(
            f"an image cannot be read from {type(source).__name__} "
            "(allowed: a path, bytes, a binary file object, a PIL image, a uint8 array, or a list of these)"
            + (": use stream()" if isinstance(source, Iterator) else "")
        )
