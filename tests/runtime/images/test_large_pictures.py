"""Large photos: what counts is what is held decoded, and the message has the option that raises it."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

import edgefeat
from edgefeat import PictureError
from edgefeat._images.form import PictureForm
from edgefeat._images.limits import Limits
from edgefeat._images.picture import read_picture

FORM = PictureForm(64, 64)
Run = Callable[..., subprocess.CompletedProcess[str]]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def phone_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """108 megapixels, as a phone takes them: bright to the right."""
    path = tmp_path_factory.mktemp("phone") / "108.jpg"
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 1500).astype(np.uint8), (1125, 1))).convert("RGB")
    ramp.resize((12_000, 9_000), Image.Resampling.NEAREST).save(path, quality=60)
    return path


MEASURED = """
import sys
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture
picture = read_picture(sys.argv[1], PictureForm(224, 224))
peak = 0
if sys.platform == "linux":
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(int(peak) // 1024, picture[100, 10, 0], picture[100, 112, 0], picture[100, 213, 0])
"""


def test_a_photo_of_108_megapixels_is_read_in_little_memory(phone_photo: Path) -> None:
    begun = time.monotonic()
    command = [sys.executable, "-c", MEASURED, str(phone_photo)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    megabytes, left, middle, right = map(int, done.stdout.split())
    assert megabytes < 100
    assert np.allclose([left, middle, right], [12, 128, 243], atol=3)
    assert time.monotonic() - begun < 20


def test_decoded_whole_it_is_refused_with_the_option_that_reads_it(
    edgefeat_command: Run, one_tap: Path, phone_photo: Path
) -> None:
    assert edgefeat_command("extract", one_tap, phone_photo).returncode == 0
    done = edgefeat_command("extract", one_tap, phone_photo, "--exact")
    assert done.returncode == 1
    assert "(exact decoding) of 12000x9000 pixels (allowed: 64,000,000)" in done.stderr
    option = re.search(r"--max-pixels \d+", done.stderr)
    assert option is not None
    assert edgefeat_command("extract", one_tap, phone_photo, "--exact", *option[0].split()).returncode == 0
    done = edgefeat_command("extract", one_tap, phone_photo, "--exact", *option[0].split(), "--into", "f.db")
    assert done.returncode == 0, done.stderr


KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", *(["AVIF"] if features.check("avif") else [])]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_message_names_is_just_enough(kind: str) -> None:
    data = encoded(Image.new("RGB", (400, 300), (9, 80, 200)), kind)
    with pytest.raises(PictureError) as refused:
        read_picture(data, FORM, "exact", limits=Limits(max_pixels=9_000))
    named = re.search(r"--max-pixels (\d+) or load\(max_pixels=(\d+)\)", str(refused.value))
    assert named is not None
    assert named[1] == named[2]
    if kind == "JPEG":  # by its header it may have eight times the pixels, before it is known how far it is scaled
        with pytest.raises(PictureError, match=r"--max-pixels 120000"):
            read_picture(data, FORM, "exact", limits=Limits(max_pixels=int(named[1])))
        assert read_picture(data, FORM, "exact", limits=Limits(max_pixels=120_000)).shape == (64, 64, 3)
        return
    assert read_picture(data, FORM, limits=Limits(max_pixels=int(named[1]))).shape == (64, 64, 3)
    with pytest.raises(PictureError):
        read_picture(data, FORM, limits=Limits(max_pixels=int(named[1]) - 1))


def test_half_a_gigapixel_is_the_end(one_tap: Path) -> None:
    jpeg = encoded(Image.new("RGB", (64, 48)), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    huge = jpeg[:at] + struct.pack(">HH", 40_000, 40_000) + jpeg[at + 4 :]
    with pytest.raises(PictureError, match=r"40000x40000 pixels \(allowed: 512,000,000\): .*--max-pixels 200000000"):
        edgefeat.load(one_tap).extract(huge)


@pytest.mark.parametrize("value", [0, -1, 5_000_000_000])
def test_limits_that_no_picture_has_are_wrong_use(one_tap: Path, value: int) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=rf"max_pixels is {value} \(allowed: 1 to"):
        edgefeat.load(one_tap, max_pixels=value)


def test_a_pil_image_and_the_limit(one_tap: Path) -> None:
    extractor = edgefeat.load(one_tap, max_pixels=1_000)
    with pytest.raises(PictureError, match=r"an image of 40x30 pixels \(allowed: 1,000\)"):
        extractor.extract(Image.new("RGB", (40, 30)))


HOSTILE = {
    "tags": (b"II*\0" + struct.pack("<IH", 8, 900) + struct.pack("<HHII", 40_000, 7, 20_000_000, 8) * 900, "tags of"),
    "entries": (b"II*\0" + struct.pack("<IH", 8, 60_000) + bytes(12 * 60_000), r"a directory of 60,000 tags"),
    "words": (b"P6 " + b"#" * 200_000, r"a PNM with a header of more than 65,536 bytes"),
    "boxes": (b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 8, b"free") * 5_000, r"more than 1,000 boxes"),
}


@pytest.mark.skipif(os.name != "posix", reason="measures processor time")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_small_file_that_would_take_long_is_refused_by_its_header(what: str) -> None:
    data, said = HOSTILE[what]
    begun = time.process_time()
    with pytest.raises(PictureError, match=said):
        read_picture(data, FORM)
    assert time.process_time() - begun < 1
