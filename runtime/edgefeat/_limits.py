"""What is refused before a decoder sees it: pictures too large to hold, and small files that would take minutes.

Pillow reads what stands before the pixels in Python, one piece at a time, and its decoders believe the header. So
the pieces are counted here, and what decoding will hold is worked out, from a few bytes of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image
from PIL.ImageFile import ImageFile

from edgefeat._errors import PictureError

__all__ = ["MAX_PIXELS", "check_header", "check_image", "check_size"]

#: Larger pictures are refused before their pixels are allocated. Pillow takes 4 bytes a pixel, so this is 256 MB: what
#: a Raspberry Pi with 1 GB can spare.
MAX_PIXELS = 64_000_000

# libwebp holds two canvases of its own and hands over a copy: 16 bytes a pixel with Pillow's.
_MAX_WEBP_PIXELS = 32_000_000
# Pillow decodes these in Python with several copies in memory: a 2 KB file of 64 million pixels takes 1.3 GB and 6 s.
_MAX_RLE_PIXELS = 4_000_000
# libjpeg-turbo's own fuzzers stop at 100 scans: a small file of a thousand takes minutes to decode.
_MAX_SCANS = 100
# Where a JPEG has several scans, libjpeg holds every coefficient, 2 bytes each, whatever size it decodes to.
_MAX_COEFFICIENT_BYTES = 256_000_000
# Far above what any camera or editor writes before the pixels, and still a fraction of a second of Pillow's time.
_MAX_JPEG_SEGMENTS, _MAX_JPEG_HEADER = 20_000, 32_000_000
_MAX_PNG_CHUNKS, _MAX_PNG_OTHER_CHUNKS = 100_000, 2_000
_MAX_GIF_BLOCKS = 4_000

# The chunks of which a picture or an animation has many by nature.
_PNG_PIXEL_CHUNKS = (b"IDAT", b"fdAT", b"fcTL")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
# Markers that Pillow takes for having no length: stuffing, restarts, start and end, and those it does not know.
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})


def check_size(image: Image.Image) -> None:
    """Raises PictureError for an image of no pixels or more than `MAX_PIXELS`."""
    width, height = image.size
    if not width or not height:
        raise PictureError(f"{width}x{height} pixels are no picture")
    if width * height > MAX_PIXELS:
        raise PictureError(f"{width}x{height} pixels are too many (allowed: {MAX_PIXELS:,})")


def check_image(image: ImageFile) -> None:
    """Raises PictureError for an opened, not yet decoded image that its decoder could not hold."""
    check_size(image)
    pixels = image.width * image.height
    if image.format == "WEBP" and pixels > _MAX_WEBP_PIXELS:
        raise PictureError(f"a WebP of {image.width}x{image.height} pixels (allowed: {_MAX_WEBP_PIXELS:,})")
    if image.format == "BMP" and image.tile[0][0] == "bmp_rle" and pixels > _MAX_RLE_PIXELS:
        raise PictureError(f"a run-length BMP of {image.width}x{image.height} pixels (allowed: {_MAX_RLE_PIXELS:,})")


def check_header(stream: BinaryIO, decoder: str) -> None:
    """Raises PictureError for a file that would take long or much to decode; the stream is at its start again after.

    What is malformed in another way is left to the decoder to name.
    """
    check = {"JPEG": _check_jpeg, "PNG": _check_png, "GIF": _check_gif}.get(decoder)
    if check is not None:  # the other formats are read by their libraries from the start
        check(stream)
        stream.seek(0)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a JPEG says of its picture. `sampling` has the horizontal and vertical factor of each component."""

    progressive: bool
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]

    def coefficient_bytes(self) -> int:
        across, down = (max((factors[axis] for factors in self.sampling), default=1) or 1 for axis in (0, 1))
        shares = sum(horizontal * vertical for horizontal, vertical in self.sampling)
        return 2 * self.width * self.height * shares // (across * down)


def _check_jpeg(stream: BinaryIO) -> None:
    frame = None
    for marker, position in _jpeg_segments(stream):
        if marker in _JPEG_FRAMES:
            frame = _frame(marker, stream)
        elif marker == 0xDA and frame is not None:
            in_scan = stream.read(1)
            if not frame.progressive and in_scan and in_scan[0] >= len(frame.sampling):
                return  # all of the picture is in this one scan
            held = frame.coefficient_bytes()
            if held > _MAX_COEFFICIENT_BYTES:
                raise PictureError(
                    f"a JPEG of several scans and {frame.width}x{frame.height} pixels, {held:,} bytes of coefficients "
                    f"(allowed: {_MAX_COEFFICIENT_BYTES:,})"
                )
            stream.seek(position)
            _check_scans(stream.read())
            return


def _jpeg_segments(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Marker and position of each segment that has a length, up to the first scan; the stream is at its content."""
    position = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        stream.seek(position)
        head = stream.read(4)
        if len(head) < 4:
            return
        if position > _MAX_JPEG_HEADER:
            break
        if head[0] != 0xFF or head[1] in (0x00, 0xFF):  # junk or filling, which Pillow passes over byte by byte
            position += 1
        elif head[1] in _JPEG_ALONE:
            position += 2
        else:
            yield head[1], position
            if head[1] == 0xDA:
                return
            position += 2 + int.from_bytes(head[2:], "big")
    allowed = f"{_MAX_JPEG_SEGMENTS:,} pieces, {_MAX_JPEG_HEADER:,} bytes"
    raise PictureError(f"a JPEG with too much before the picture (allowed: {allowed})")


def _frame(marker: int, stream: BinaryIO) -> _Frame | None:
    head = stream.read(6)
    if len(head) < 6:
        return None
    components = stream.read(3 * head[5])
    return _Frame(
        progressive=marker in _JPEG_PROGRESSIVE,
        width=int.from_bytes(head[3:5], "big"),
        height=int.from_bytes(head[1:3], "big"),
        sampling=tuple((factors >> 4, factors & 15) for factors in components[1::3]),
    )


def _check_scans(jpeg: bytes) -> None:
    if jpeg.count(b"\xff\xda") > _MAX_SCANS and (scans := _scan_count(jpeg)) > _MAX_SCANS:
        raise PictureError(f"a JPEG of {scans} scans (allowed: {_MAX_SCANS})")


def _scan_count(jpeg: bytes) -> int:
    """The scans up to the end of the picture. What only looks like one, in an appended film, is none."""
    scans = 0
    position = jpeg.find(b"\xff")
    while 0 <= position < len(jpeg) - 3 and (marker := jpeg[position + 1]) != 0xD9:
        scans += marker == 0xDA
        if marker == 0xFF:
            position += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD8:  # these stand alone: stuffing, restarts
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        position = jpeg.find(b"\xff", position)
    return scans


def _check_png(stream: BinaryIO) -> None:
    position, chunks, others = 8, 0, 0
    while chunks <= _MAX_PNG_CHUNKS and others <= _MAX_PNG_OTHER_CHUNKS:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return
        chunks += 1
        others += head[4:] not in _PNG_PIXEL_CHUNKS
        position += 12 + int.from_bytes(head[:4], "big")
    allowed = f"{_MAX_PNG_CHUNKS:,}, {_MAX_PNG_OTHER_CHUNKS:,} of them without pixels"
    raise PictureError(f"a PNG of too many chunks (allowed: {allowed})")


def _check_gif(stream: BinaryIO) -> None:
    head = stream.read(13)
    if len(head) < 13:
        return
    if head[10] & 0x80:
        stream.seek(3 << ((head[10] & 7) + 1), 1)  # the palette
    blocks = 0
    while (kind := stream.read(1)) not in (b"", b",", b";"):  # up to the first frame
        if kind == b"!":
            stream.seek(1, 1)
            while (size := stream.read(1)) not in (b"", b"\0"):
                stream.seek(size[0], 1)
                blocks += 1
                if blocks > _MAX_GIF_BLOCKS:
                    break
        blocks += 1
        if blocks > _MAX_GIF_BLOCKS:
            raise PictureError(f"a GIF of more than {_MAX_GIF_BLOCKS:,} blocks before the picture")
