"""What a picture becomes: size, orientation, colours, transparency, and how near `fast` is to `exact`."""

from __future__ import annotations

import dataclasses
import io
import math
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgefeat import PictureError
from edgefeat._images.form import Decoding, PictureForm
from edgefeat._images.picture import read_picture

Pixels = NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


def scene(width: int, height: int) -> Image.Image:
    """Smooth colours with a bright disc off the centre: no two of its eight orientations are alike."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64) / max(width, height)
    red, green = 255 * x, 255 * y
    blue = 255.0 * ((x - 0.3) ** 2 + (y - 0.2) ** 2 < 0.02)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def png(depth: int, colour_type: int, rows: list[bytes], width: int, transparent: bytes = b"") -> bytes:
    """A PNG written by hand, since Pillow writes neither 16-bit colours nor a transparent colour in fewer bits."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + (chunk(b"tRNS", transparent) if transparent else b"") + body


def as_is(data: bytes | Path, form: PictureForm | None = None, decoding: Decoding = "exact") -> Pixels:
    """The picture in its own size, so that nothing is resized."""
    with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
        width, height = image.size
    return read_picture(data, dataclasses.replace(form or PictureForm(1, 1), height=height, width=width), decoding)


def difference(a: Pixels, b: Pixels | NDArray[np.float64]) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).mean())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (300, 200), (1, 7)])
def test_exact_is_the_whole_picture_resized_once_with_the_bilinear_filter(format: str, size: tuple[int, int]) -> None:
    data = encoded(scene(200, 150), format)
    expected = Image.open(io.BytesIO(data)).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    picture = read_picture(data, PictureForm(size[1], size[0]), "exact")
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    np.testing.assert_array_equal(picture, np.asarray(expected))


@pytest.mark.parametrize("decoding", ["exact", "fast"])
@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
def test_the_eight_orientations_of_real_files_give_one_picture(
    shared_data: Path, shape: str, decoding: Decoding
) -> None:
    form = PictureForm(60, 90) if shape == "Landscape" else PictureForm(90, 60)
    ignoring = dataclasses.replace(form, orientation="ignore")
    files = [shared_data / "formats" / "orientation" / f"{shape}_{value}.jpg" for value in range(9)]
    upright = read_picture(files[1], form, decoding)
    for file in files:
        assert difference(read_picture(file, form, decoding), upright) < 1, file.name
    for file in files[2:]:
        assert difference(read_picture(file, ignoring, decoding), upright) > 20, file.name


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_followed_in_every_format_and_fit(format: str, orientation: int, fit: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "JPEG" else {}
    data = encoded(scene(160, 100), format, exif=exif, **options)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    form = PictureForm(40, 48, fit=fit)  # type: ignore[arg-type]
    expected = read_picture(encoded(upright, "PNG"), dataclasses.replace(form, orientation="ignore"), "exact")
    assert difference(read_picture(data, form, "exact"), expected) < 1
    assert difference(read_picture(data, form, "fast"), expected) < 3


def test_an_impossible_orientation_is_taken_as_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    data = encoded(scene(40, 30), "PNG", exif=exif)
    np.testing.assert_array_equal(as_is(data), np.asarray(scene(40, 30)))


def test_a_broken_exif_block_does_not_lose_the_picture() -> None:
    data = encoded(scene(40, 30), "PNG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff" + b"\xff" * 40)
    np.testing.assert_array_equal(as_is(data), np.asarray(scene(40, 30)))


def over_white(colours: NDArray[np.generic], alpha: NDArray[np.generic]) -> NDArray[np.float64]:
    a = alpha.astype(np.float64)[..., None] / 255
    return colours.astype(np.float64) * a + 255 * (1 - a)


def by_the_book(path: Path) -> NDArray[np.float64]:
    """The picture worked out in floating point from the samples and the palette, with none of Pillow's conversions."""
    with Image.open(path) as stored:
        image = ImageOps.exif_transpose(stored)
        samples = np.asarray(image)
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
        alpha = np.full(len(palette), 255)
        transparency = image.info.get("transparency")
        if isinstance(transparency, bytes):
            alpha[: len(transparency)] = list(transparency)[: len(palette)]
        elif transparency is not None:
            alpha[transparency] = 0
        return over_white(palette[samples], alpha[samples])
    if image.mode == "CMYK":
        samples = 255 - samples.astype(np.float64)
        return samples[..., :3] * samples[..., 3:] / 255
    if image.mode in ("1", "L", "I", "I;16", "I;16B"):
        gray = samples * 255 if image.mode == "1" else samples if image.mode == "L" else samples // 256
        return np.repeat(gray.astype(np.float64)[..., None], 3, axis=2)
    return over_white(samples[..., :3], samples[..., 3]) if image.mode == "RGBA" else samples.astype(np.float64)


@pytest.mark.parametrize("decoding", ["exact", "fast"])
def test_every_odd_file_shows_the_colours_its_samples_spell_out(shared_data: Path, decoding: Decoding) -> None:
    files = sorted((shared_data / "formats" / "odd").iterdir())
    assert len(files) >= 19
    for file in files:
        expected = by_the_book(file)
        form = PictureForm(*expected.shape[:2])
        assert np.abs(read_picture(file, form, decoding) - expected).max() <= 1, file.name


def test_a_cmyk_jpeg_looks_like_the_rgb_picture_it_was_made_from() -> None:
    original = scene(120, 90)
    assert difference(as_is(encoded(original.convert("CMYK"), "JPEG", quality=95)), np.asarray(original)) < 3


def test_sixteen_bits_a_sample_are_cut_to_the_upper_eight() -> None:
    samples = [0x00FF, 0x0100, 0x12FF, 0x7FFF, 0x8000, 0xFFFF]
    gray = png(16, 0, [struct.pack(">6H", *samples)] * 2, width=6)
    colour = png(16, 2, [struct.pack(">6H", *samples)] * 2, width=2)
    upper = np.array(samples, dtype=">u2").view(np.uint8)[::2]
    np.testing.assert_array_equal(as_is(gray)[0], np.repeat(upper[:, None], 3, axis=1))
    np.testing.assert_array_equal(as_is(colour)[0], upper.reshape(2, 3))


TRANSPARENT_COLOURS = {
    "gray, 1 bit": png(1, 0, [b"\x80"], 2, b"\0\1"),
    "gray, 2 bits": png(2, 0, [b"\x60"], 2, b"\0\1"),
    "gray, 4 bits": png(4, 0, [b"\x25"], 2, b"\0\2"),
    "gray, 8 bits": png(8, 0, [b"\x22\x55"], 2, b"\0\x22"),
    "gray, 16 bits": png(16, 0, [b"\x12\x34\x56\x78"], 2, b"\x12\x34"),
    "rgb, 8 bits": png(8, 2, [b"\x0a\x14\x1e\x55\x55\x55"], 2, b"\0\x0a\0\x14\0\x1e"),
    "rgb, 16 bits": png(16, 2, [b"\x12\x34\x56\x78\x9a\xbc" + b"\x55\x55" * 3], 2, b"\x12\x34\x56\x78\x9a\xbc"),
}


@pytest.mark.parametrize("kind", TRANSPARENT_COLOURS)
def test_the_transparent_colour_of_a_png_is_transparent_in_every_depth(kind: str) -> None:
    over_white = as_is(TRANSPARENT_COLOURS[kind])
    over_black = as_is(TRANSPARENT_COLOURS[kind], PictureForm(1, 1, transparency="black"))
    assert over_white[0, 0].tolist() == [255] * 3
    assert over_black[0, 0].tolist() == [0] * 3
    assert over_white[0, 1].tolist() == over_black[0, 1].tolist() != [255] * 3


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_alpha_is_laid_over_the_ground_of_the_form(format: str) -> None:
    rgba = np.dstack([np.asarray(scene(64, 48)), np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))])
    data = encoded(Image.fromarray(rgba), format, **({"lossless": True, "exact": True} if format == "WEBP" else {}))
    share = rgba[..., 3:] / 255
    over_black = rgba[..., :3] * share
    over_green = over_black + (16, 192, 64) * (1 - share)
    assert np.abs(as_is(data) - over_white(rgba[..., :3], rgba[..., 3])).max() <= 1
    assert np.abs(as_is(data, PictureForm(1, 1, transparency="black")) - over_black).max() <= 1
    assert np.abs(as_is(data, PictureForm(1, 1, transparency="#10c040")) - over_green).max() <= 1


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(format: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=100, loop=0)
    assert np.abs(as_is(data) - np.array([255.0, 0, 0])).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_a_white_pil_image_of_any_mode_is_white(mode: str) -> None:
    white: Callable[[], Image.Image] = lambda: Image.new("RGB", (6, 4), "white").convert(mode)  # noqa: E731
    image = Image.new("RGBA", (6, 4), "white").convert("RGBa") if mode == "RGBa" else white()
    assert read_picture(image, PictureForm(4, 6)).min() == 255


def test_fast_is_near_exact_on_camera_photos(shared_data: Path) -> None:
    photos = sorted((shared_data / "camera").iterdir())
    for number, photo in enumerate(photos):
        form = PictureForm(224, 224, fit=("stretch", "crop", "pad")[number % 3])
        assert difference(read_picture(photo, form, "fast"), read_picture(photo, form, "exact")) < 1.6, photo.name
    assert len(photos) >= 6


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns after a microsecond, so that they meet where they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_an_opened_image_is_decoded_once_by_one_thread(format: str) -> None:
    """`Image.open` leaves decoding to whatever uses the image first: several threads, for one or several features."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(scene(800, 600), format, exif=exif.tobytes())
    form = PictureForm(64, 48)
    expected = read_picture(data, form, "exact")
    for _ in range(5):
        image = Image.open(io.BytesIO(data))
        np.testing.assert_array_equal(read_picture(image, form, threads=4), expected)
        shared = Image.open(io.BytesIO(data))
        with ThreadPoolExecutor(8) as pool:
            for picture in pool.map(lambda one: read_picture(one, form, threads=2), [shared] * 8):
                np.testing.assert_array_equal(picture, expected)
    with Image.open(io.BytesIO(data)) as closed:
        pass
    with pytest.raises(PictureError, match="cannot be decoded"):
        read_picture(closed, form)


@pytest.mark.parametrize("size", [(640, 480), (599, 1200), (1210, 2500), (1230, 2399), (2420, 2410), (3300, 640)])
@pytest.mark.parametrize("target", [(60, 60), (224, 222), (300, 229), (125, 450)])
def test_fast_decodes_as_small_as_libjpeg_can_but_not_below_its_floor(
    size: tuple[int, int], target: tuple[int, int]
) -> None:
    data = encoded(scene(*size), "JPEG")
    result = read_picture(data, PictureForm(target[1], target[0]), "fast")
    floors = [max(math.ceil(1.35 * side), 300) for side in target]
    possible = [s for s in (8, 4, 2, 1) if min(size[0] / s / floors[0], size[1] / s / floors[1]) >= 1] or [1]
    image = Image.open(io.BytesIO(data))
    image.draft(None, (size[0] // possible[0], size[1] // possible[0]))
    assert image.size == tuple(-(-side // possible[0]) for side in size)
    np.testing.assert_array_equal(result, np.asarray(image.resize(target, Image.Resampling.BILINEAR)))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_the_thinnest_pictures_are_read(format: str, fit: str, size: tuple[int, int]) -> None:
    form = PictureForm(24, 32, fit=fit)  # type: ignore[arg-type]
    for decoding in ("fast", "exact"):
        picture = read_picture(encoded(Image.new("RGB", size, "white"), format), form, decoding)
        assert picture.shape == (24, 32, 3)
        assert picture.max() >= 254
        assert fit == "pad" or picture.min() >= 254
