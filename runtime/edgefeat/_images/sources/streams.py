"""From what a picture is given as to a stream, and from what decoders raise to PictureError."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image

from edgefeat._errors import ArgumentError, PictureError

__all__ = ["URL", "as_picture_errors", "opened_stream", "url_advice"]

#: What is no path, though it may look like one.
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def url_advice(url: str) -> str:
    """What to say of a URL."""
    return f"is a URL, which is not opened: download it first, with: curl -LO '{url}'"


@contextmanager
def as_picture_errors() -> Iterator[None]:
    """Turns whatever a decoder raises into PictureError. Pillow promises no particular exception on malformed data."""
    try:
        yield
    except (PictureError, ArgumentError):
        raise
    except FileNotFoundError as error:
        name = str(error.filename or "")
        raise PictureError(url_advice(name) if URL.match(name) else "no such file") from None
    except PermissionError:
        raise PictureError("may not be read (permission denied)") from None
    except MemoryError:
        raise PictureError("does not fit into memory") from None
    except Image.DecompressionBombError:  # Pillow's own limit, which GIF and TIFF meet
        allowed = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise PictureError(
            f"the header claims more pixels than Pillow takes (allowed: {allowed:,}; PIL.Image.MAX_IMAGE_PIXELS)"
        ) from None
    except Exception as error:
        said = " ".join(str(error).split())  # on one line, whatever a plugin makes of it
        raise PictureError(f"cannot be decoded: {said or type(error).__name__}") from error


@contextmanager
def opened_stream(source: object) -> Iterator[BinaryIO]:
    """The encoded file, at its start. Raises PictureError for what is no file, ArgumentError for what is no source."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(source))  # bytes() also takes a memoryview with gaps
    elif isinstance(source, str | os.PathLike):
        if (path := os.fspath(source)) and isinstance(path, str) and "!/" in path:
            from edgefeat._images.sources.archives import member_path, read_member

            if (member := member_path(path)) is not None:
                yield io.BytesIO(read_member(*member))
                return
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
