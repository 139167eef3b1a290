"""No other part of Pillow is loaded, no other format opened, and a damaged file gives a picture or one error."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import features
from tests.runtime.images.scenes import FORM, HAS_AVIF, HEIGHT, WIDTH, encoded, scene

from edgefeat import PictureError
from edgefeat._images.picture import read_picture

OPENED = """
import sys
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture
for path in sys.argv[1:]:
    read_picture(path, PictureForm(20, 20))
print(*sorted(name for name in sys.modules if name.startswith("PIL.") and name.endswith("ImagePlugin")))
"""

ALLOWED = {f"PIL.{name}ImagePlugin" for name in "Jpeg Mpo Png WebP Gif Bmp Tiff Ppm Jpeg2K Avif".split()}


def test_no_other_part_of_pillow_is_loaded(tmp_path: Path) -> None:
    kinds = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", *(["AVIF"] if HAS_AVIF else [])]
    for kind in kinds:
        scene().save(tmp_path / kind, kind)
    command = [sys.executable, "-c", OPENED, *(str(tmp_path / kind) for kind in kinds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) <= ALLOWED
    alone = subprocess.run(
        [*command[:3], str(tmp_path / "BMP")], check=True, capture_output=True, text=True, timeout=60
    )
    assert alone.stdout.split() == ["PIL.BmpImagePlugin"]


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA", "PCX", "SGI", "DDS", "ICNS", "IM"])
def test_pictures_of_other_formats_are_not_opened(kind: str) -> None:
    with pytest.raises(PictureError, match=r"not an image in a supported format \(JPEG, PNG, .*\), by its content"):
        read_picture(encoded(scene().resize((64, 64)), kind), FORM)


SEEDS = [
    encoded(scene(), "TIFF"),
    encoded(scene().convert("P"), "TIFF", save_all=True, append_images=[scene()]),
    *([encoded(scene(), "TIFF", compression="tiff_lzw")] if features.check_codec("libtiff") else []),
    encoded(scene(), "JPEG2000"),
    encoded(scene().convert("LA"), "JPEG2000", no_jp2=True, tile_size=(32, 32)),
    encoded(scene(), "PPM"),
    b"P2 # text\n4 2 15\n" + b"1 2 3 4 " * 2,
    *([encoded(scene(), "AVIF", speed=10)] if HAS_AVIF else []),
]


@settings(max_examples=300, deadline=2000)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF])), max_size=6),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_spoilt_file_gives_a_picture_or_one_error(
    seed: bytes, changes: list[tuple[int, int]], share: float, cut: bool
) -> None:
    data = bytearray(seed)
    for place, value in changes:
        data[min(place, len(data) - 1)] = value
    try:
        picture = read_picture(bytes(data[: int(share * len(data))] if cut else data), FORM)
    except PictureError as error:
        said = str(error)
    else:
        said = ""
        assert picture.shape == (HEIGHT, WIDTH, 3)
    assert "\n" not in said


class _Bits:
    def __init__(self) -> None:
        self.value = self.count = 0

    def put(self, value: int, count: int) -> _Bits:
        self.value |= value << self.count
        self.count += count
        return self


@given(st.integers(2**13, 2**20), st.integers(2**13, 2**20), st.booleans())
def test_the_size_of_a_jpeg_xl_is_known_before_it_is_decoded(width: int, height: int, boxed: bool) -> None:
    bits = _Bits().put(0, 1)
    for index, side in enumerate((height, width)):
        bits.put(2 if side <= 2**18 else 3, 2).put(side - 1, 18 if side <= 2**18 else 30).put(0, 0 if index else 3)
    data = b"\xff\x0a" + bits.value.to_bytes(12, "little")
    if boxed:
        box = struct.pack(">I4s", len(data) + 12, b"jxlp") + bytes(4) + data
        data = b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I4s", 20, b"ftyp") + b"jxl \0\0\0\0jxl " + box
    with pytest.raises(PictureError, match=re.escape(f"a JPEG XL of {width}x{height} pixels (allowed: 16,000,000)")):
        read_picture(data, FORM)
