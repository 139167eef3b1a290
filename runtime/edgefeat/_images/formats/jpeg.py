"""JPEG: limits on memory, scans and header, checked before decoding."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from edgefeat._errors import PictureError
from edgefeat._images.limits import Limits, OversizeError, limit_advice

__all__ = ["check_jpeg", "scans_begun"]

# libjpeg-turbo's fuzzers stop at 100 scans: a small file with a thousand scans takes minutes to decode.
_MAX_SCANS = 100
# For a JPEG with several scans, libjpeg holds every coefficient, 2 bytes each, at any decoding scale. The bytes allowed
# for each pixel of the limit: 256 MB in total.
_COEFFICIENT_BYTES = 4
# Far above what any camera or editor writes before the pixels, and still a fraction of a second for Pillow.
_MAX_JPEG_SEGMENTS, _MAX_JPEG_HEADER = 20_000, 32_000_000

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
# Markers that Pillow treats as having no length: stuffing, restarts, start and end, and unknown ones.
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})


@dataclass(frozen=True, slots=True)
class _Frame:
    """The frame header of a JPEG. `sampling` has the horizontal and vertical factor of each component."""

    progressive: bool
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]

    def coefficient_bytes(self) -> int:
        across, down = (max((factors[axis] for factors in self.sampling), default=1) or 1 for axis in (0, 1))
        shares = sum(horizontal * vertical for horizontal, vertical in self.sampling)
        return 2 * self.width * self.height * shares // (across * down)


def check_jpeg(stream: BinaryIO, limits: Limits) -> None:
    """Raise PictureError for a JPEG that needs too much time or memory to decode, at any scale."""
    frame = None
    for marker, position in _jpeg_segments(stream):
        if marker in _JPEG_FRAMES:
            frame = _frame(marker, stream)
        elif marker == 0xDA and frame is not None:
            in_scan = stream.read(1)
            if not frame.progressive and in_scan and in_scan[0] >= len(frame.sampling):
                return  # this single scan holds the whole image
            held, allowed = frame.coefficient_bytes(), _COEFFICIENT_BYTES * limits.max_pixels
            if held > allowed:
                raise OversizeError(
                    f"a JPEG of several scans and {frame.width}x{frame.height} pixels, {held:,} bytes of coefficients "
                    f"(allowed: {allowed:,}): " + limit_advice(-(-held // _COEFFICIENT_BYTES))
                )
            stream.seek(position)
            _check_scans(stream.read())
            return


def _jpeg_segments(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield marker and position of each segment with a length, up to the first scan. The stream is at its content."""
    position = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        stream.seek(position)
        head = stream.read(4)
        if len(head) < 4:
            return
        if position > _MAX_JPEG_HEADER:
            break
        if head[0] != 0xFF or head[1] in (0x00, 0xFF):  # junk or padding, which Pillow skips byte by byte
            position += 1
        elif head[1] in _JPEG_ALONE:
            position += 2
        else:
            yield head[1], position
            if head[1] == 0xDA:
                return
            position += 2 + int.from_bytes(head[2:], "big")
    allowed = f"{_MAX_JPEG_SEGMENTS:,} pieces, {_MAX_JPEG_HEADER:,} bytes"
    raise PictureError(f"a JPEG with too much data before the image (allowed: {allowed})")


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
    """Return the number of scans up to the end of the image; appended data does not count."""
    return sum(1 for _ in _scans(jpeg))


def _scans(jpeg: bytes) -> Iterator[int]:
    """Yield the position of each scan."""
    position = jpeg.find(b"\xff")
    while 0 <= position < len(jpeg) - 3 and (marker := jpeg[position + 1]) != 0xD9:
        if marker == 0xDA:
            yield position
        if marker == 0xFF:
            position += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD8:  # stuffing and restarts have no length
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        position = jpeg.find(b"\xff", position)


def scans_begun(jpeg: bytes) -> tuple[bool, bool]:
    """Return whether, in a truncated JPEG, the last scan of every coefficient has begun, and whether all means are
    there.

    The means of the blocks come first. Later scans only refine the image.
    """
    components: set[int] = set()
    means: set[int] = set()
    whole: set[tuple[int, int]] = set()
    positions = list(_scans(jpeg))
    for segment, at in _jpeg_segments(io.BytesIO(jpeg)):
        if segment in _JPEG_FRAMES:
            components = set(jpeg[at + 10 : at + 10 + 3 * jpeg[at + 9] : 3])
    for position in positions:
        count = jpeg[position + 4]
        of_scan = set(jpeg[position + 5 : position + 5 + 2 * count : 2])
        tail = jpeg[position + 5 + 2 * count : position + 8 + 2 * count]
        if len(tail) < 3:
            break
        first, last, bits = tail
        if first == 0 and position != positions[-1]:
            means |= of_scan
        if not bits & 15:
            whole |= {(component, index) for component in of_scan for index in range(first, min(last, 63) + 1)}
    return len(whole) >= 64 * len(components) > 0, means >= components
