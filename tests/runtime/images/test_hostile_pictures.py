"""Small files that would take minutes or gigabytes are refused by their headers; those that only look so are read."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgefeat import PictureError
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture

FORM = PictureForm(64, 64)
PLAIN = Image.new("RGB", (400, 300), (9, 80, 200))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def sized(jpeg: bytes, width: int, height: int) -> bytes:
    """The same scans under a frame that claims another size."""
    start = min(place for marker in (b"\xff\xc0", b"\xff\xc2") if (place := jpeg.find(marker)) > 0)
    return jpeg[: start + 5] + struct.pack(">HH", height, width) + jpeg[start + 9 :]


def in_jpeg(content: bytes) -> bytes:
    jpeg = encoded(PLAIN, "JPEG")
    return jpeg[:2] + content + jpeg[2:]


def in_png(content: bytes) -> bytes:
    data = encoded(PLAIN, "PNG")
    return data[:33] + content + data[33:]


def in_gif(content: bytes) -> bytes:
    data = encoded(PLAIN, "GIF")
    start = data.index(b",", 13 + (3 << ((data[10] & 7) + 1)))
    return data[:start] + content + data[start:]


def scans_again(jpeg: bytes, count: int) -> bytes:
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * count + b"\xff\xd9"


def one_component_again(jpeg: bytes, count: int) -> bytes:
    """A frame that is not progressive, of which a scan has one component only."""
    scan = jpeg.index(b"\xff\xda")
    return jpeg[:scan] + (segment(0xDA, b"\1\1\0\0\x3f\0") + bytes(40)) * count + b"\xff\xd9"


def webp(width: int, height: int) -> bytes:
    return encoded(Image.new("RGB", (width, height)), "WEBP", lossless=True, method=0, quality=0)


PROGRESSIVE = {"progressive": True, "subsampling": 0}
REFUSED = {
    "scans": (scans_again(encoded(PLAIN, "JPEG", progressive=True), 2000), r"a JPEG of 20\d\d scans \(allowed: 100\)"),
    "scans, not progressive": (one_component_again(encoded(PLAIN, "JPEG"), 3000), r"a JPEG of 3000 scans"),
    "coefficients": (sized(encoded(PLAIN, "JPEG", **PROGRESSIVE), 8000, 8000), r"384,000,000 bytes of coefficients"),
    "segments": (in_jpeg(segment(0xFE, b"") * 30_000), r"a JPEG with too much data before the image"),
    "EXIF": (in_jpeg(segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 500), r"a JPEG with too much data before the image"),
    "filling": (in_jpeg(b"\xff" * 30_000), r"a JPEG with too much data before the image"),
    "zeros": (in_jpeg(segment(0xFE, b"") + bytes(30_000)), r"a JPEG with too much data before the image"),
    "chunks": (in_png(chunk(b"IDAT", b"") * 101_000), r"a PNG of too many chunks"),
    "profiles": (in_png(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(900_000))) * 2001), r"a PNG of too many chunks"),
    "comment": (in_gif(b"!\xfe" + (b"\xff" + bytes(255)) * 5000 + b"\0"), r"a GIF of more than 4,000 blocks"),
    "comments": (in_gif(b"!\xfe\1x\0" * 5000), r"a GIF of more than 4,000 blocks"),
    "zeros in a GIF": (in_gif(bytes(5000)), r"a GIF of more than 4,000 blocks"),
    "WebP": (webp(8100, 4000), r"a WebP of 8100x4000 pixels \(allowed: 32,000,000\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_take_long_or_much_is_refused_by_its_header(what: str) -> None:
    data, words = REFUSED[what]
    begun = time.process_time()
    with pytest.raises(PictureError, match=words):
        read_picture(data, FORM)
    assert time.process_time() - begun < 2


READ = {
    "a thumbnail of many scans": in_jpeg(segment(0xE1, b"Exif\0\0" + b"\xff\xda" * 3000)),
    "three scans, one for each colour": sized(encoded(PLAIN, "JPEG", progressive=True), 400, 300),
    "a film behind the picture": encoded(PLAIN, "JPEG", progressive=True) + b"\xff\xda\0\2" * 3000,
    "some filling": in_jpeg(b"\xff" * 60),
    "an ICC profile in 40 pieces": in_jpeg(
        b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 40]) + bytes(60_000)) for n in range(1, 41))
    ),
    "many restarts": encoded(PLAIN, "JPEG", restart_marker_blocks=1),
    "a long comment": in_gif(b"!\xfe" + (b"\xff" + bytes(255)) * 3000 + b"\0"),
    "many texts": in_png(chunk(b"tEXt", b"k\0v") * 1500),
}


@pytest.mark.parametrize("what", READ)
def test_what_only_looks_so_is_read(what: str) -> None:
    assert np.abs(read_picture(READ[what], FORM).mean(axis=(0, 1)) - (9, 80, 200)).max() < 3


MEASURED = """
import sys
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture
read_picture(sys.argv[1], PictureForm(64, 64))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the kernel does not tell what was held at most")
@pytest.mark.parametrize(("mode", "allowed"), [("LA", 330), ("L", 150), ("I;16", 220), ("RGBA", 330)])
def test_a_large_picture_is_not_copied_whole_on_its_way(mode: str, allowed: int, tmp_path: Path) -> None:
    """30 megapixels, 120 MB in Pillow: the picture, and where it has transparency one more, not three."""
    Image.new(mode, (6000, 5000)).save(tmp_path / "large.png", compress_level=1)
    with Image.open(tmp_path / "large.png") as opened:
        allowed += 60 * (opened.mode == "I")  # an older Pillow holds four bytes for each of two in the file
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path / "large.png"], check=True, capture_output=True, text=True
    )
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", done.stdout)
    assert int(kilobytes) / 1024 < allowed


def test_a_number_of_pixels_that_no_limit_allows_is_not_advised() -> None:
    data = bytearray(encoded(PLAIN, "BMP"))
    data[18:26] = struct.pack("<ii", 2_000_000_000, 127)
    with pytest.raises(PictureError, match=r"more than 4,000,000,000 are never read: the header is damaged, or save"):
        read_picture(bytes(data), FORM)
