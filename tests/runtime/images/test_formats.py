"""AVIF, TIFF, JPEG 2000, PNM and JPEG XL: their colours, depths and orientation, and that nothing else is opened."""

from __future__ import annotations

import dataclasses
import io
import struct
from pathlib import Path

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, features
from tests.runtime.images.scenes import FORM, HAS_AVIF, encoded, scene

from edgefeat import PictureError
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture

GRAY = dataclasses.replace(FORM, color="gray")


def tiff(samples: NDArray[np.generic], bits: int, photometric: int, *, packed: bytes | None = None) -> bytes:
    """One channel, written by hand: Pillow writes neither 12 bits nor 16 where 0 is white."""
    height, width = samples.shape
    data = packed if packed is not None else samples.tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 200), (277, 1)]
    tags += [(278, height), (279, len(data)), (339, kind)]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in tags)
    return head.ljust(200, b"\0") + data


def over(image: Image.Image) -> Image.Image:
    """What is expected of a sound picture of any mode: laid over white, in RGB."""
    if image.mode in ("RGBA", "LA", "PA"):
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


MODES = {
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA"),
    "PPM": ("1", "L", "RGB"),
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_every_mode_is_laid_over_white_in_rgb_and_in_gray(kind: str, mode: str) -> None:
    image = scene()
    if mode in ("LA", "RGBA"):
        image.putalpha(scene().getchannel(0))
    data = encoded(image.convert(mode), kind)
    expected = over(Image.open(io.BytesIO(data)))
    difference = read_picture(data, FORM).astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 1
    gray = read_picture(data, GRAY)
    assert np.abs(gray.astype(int) - np.asarray(expected.convert("L"))[..., None]).max() <= 1
    assert (gray == gray[..., :1]).all()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("big", [False, True])
def test_strips_of_every_compression_are_read(compression: str | None, big: bool) -> None:
    if compression and not features.check_codec("libtiff"):
        pytest.skip("this Pillow has no libtiff")
    if big and PIL_VERSION < (10, 4):
        pytest.skip("this Pillow writes no BigTIFF")
    options: dict[str, object] = {"compression": compression, "tiffinfo": {278: 8}}
    try:
        data = encoded(scene(), "TIFF", **options, **({"big_tiff": True} if big else {}))
    except NotImplementedError as error:  # Pillow 10.4
        pytest.skip(f"this Pillow writes no strips: {error}")
    assert np.abs(read_picture(data, FORM).astype(float) - np.asarray(scene())).mean() < (3 if compression else 0.01)


PIL_VERSION = tuple(int(part) for part in PIL.__version__.split(".")[:2])


@pytest.mark.skipif(not HAS_AVIF, reason="this Pillow has no AVIF")
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_avif_shows_its_colours(mode: str) -> None:
    image = scene()
    if mode == "RGBA":
        image.putalpha(scene().getchannel(0))
    data = encoded(image.convert(mode), "AVIF", quality=95)
    expected = np.asarray(over(image.convert(mode))).astype(float)
    assert np.abs(read_picture(data, FORM) - expected).mean() < 3
    assert np.abs(read_picture(data, GRAY).mean() - np.asarray(over(image.convert(mode)).convert("L")).mean()) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["TIFF", pytest.param("AVIF", marks=pytest.mark.skipif(not HAS_AVIF, reason="no AVIF"))]
)
def test_orientation_is_followed_or_ignored(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif, "quality": 95}
    data = encoded(scene(), kind, **options)
    turned = scene()
    turned.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(turned)).astype(float)
    form = PictureForm(*upright.shape[:2])
    assert np.abs(read_picture(data, form) - upright).mean() < 3
    if kind == "TIFF":  # an AVIF says so in the boxes that make its pixels
        stored = read_picture(data, dataclasses.replace(FORM, orientation="ignore"))
        np.testing.assert_array_equal(stored, np.asarray(scene()))


DEPTHS = {
    "16 bits": (np.array([[0, 255, 256, 0x7FFF, 0xFF00, 0xFFFF]], "<u2"), 16, 1, [0, 0, 1, 127, 255, 255]),
    "16 bits, 0 is white": (np.array([[0, 256, 0xFFFF]], "<u2"), 16, 0, [255, 254, 0]),
    "float to 1": (np.array([[0.0, 0.25, 0.5, 1.0]], "<f4"), 32, 1, [0, 64, 128, 255]),
    "float to 255": (np.array([[0.0, 1.4, 99.6, 255.0]], "<f4"), 32, 1, [0, 1, 100, 255]),
}


@pytest.mark.parametrize("color", ["rgb", "gray"])
@pytest.mark.parametrize("what", DEPTHS)
def test_deep_samples_are_brought_to_eight_bits(what: str, color: str) -> None:
    samples, bits, photometric, expected = DEPTHS[what]
    form = PictureForm(1, samples.shape[1], color=color)  # type: ignore[arg-type]
    picture = read_picture(tiff(samples, bits, photometric), form, "exact")
    assert picture[0, :, 0].tolist() == expected
    assert (picture == picture[..., :1]).all()


def test_twelve_bits_fill_the_range() -> None:
    packed = bytes((0xFF, 0xF0, 0x00, 0x80, 0x01, 0x00))  # 0xFFF, 0x000, 0x800, 0x100
    picture = read_picture(tiff(np.zeros((1, 4), "<u2"), 12, 1, packed=packed), PictureForm(1, 4), "exact")
    assert picture[0, :, 0].tolist() == [255, 0, 128, 16]


@pytest.mark.parametrize(
    ("samples", "bits", "said"),
    [
        (np.array([[-5, 4000]], "<i4"), 32, r"samples from -5 to 4000 \(allowed: 0 to 65535\): scale them"),
        (np.array([[0, 70_000]], "<i4"), 32, r"samples from 0 to 70000 \(allowed: 0 to 65535\)"),
        (np.array([[-0.5, 1.0]], "<f4"), 32, r"samples from -0\.5 to 1 \(allowed: 0 to 1, or 0 to 255\)"),
        (np.array([[0.0, 3000.0]], "<f4"), 32, r"samples from 0 to 3000 "),
    ],
)
def test_samples_whose_range_is_unknown_are_refused(samples: NDArray[np.generic], bits: int, said: str) -> None:
    with pytest.raises(PictureError, match=said):
        read_picture(tiff(samples, bits, 1), PictureForm(1, 2), "exact")


def test_of_several_pages_the_first_is_read() -> None:
    data = encoded(scene(), "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))] * 3)
    np.testing.assert_array_equal(read_picture(data, FORM), np.asarray(scene()))


def test_the_preview_in_a_raw_file_of_a_camera_is_not_taken_for_the_photo() -> None:
    for tag in ({254: 1}, {50706: b"\1\4\0\0"}):
        with pytest.raises(PictureError, match=r"preview, such as a raw file of a camera: export a JPEG"):
            read_picture(encoded(scene(), "TIFF", tiffinfo=tag), FORM)


def by_pillow(file: Path) -> Image.Image | None:
    """The picture upright, as Pillow reads it; None where this Pillow, or its libtiff, cannot."""
    try:
        with Image.open(file) as stored:
            stored.load()
            return stored if stored.format == "TIFF" else ImageOps.exif_transpose(stored)
    except OSError:
        return None


def test_the_real_files_are_read_as_pillow_reads_them(shared_data: Path) -> None:
    files = [path for kind in ("tiff", "jp2", "avif") for path in sorted((shared_data / "formats" / kind).iterdir())]
    assert len(files) >= 40
    for file in files:
        if file.suffix == ".avif" and not HAS_AVIF:
            continue
        image = by_pillow(file)
        if image is None:
            with pytest.raises(PictureError):
                read_picture(file, FORM)
            continue
        if image.width * image.height > 2_000_000:  # alike, and slow
            continue
        mode = image.mode
        form = PictureForm(image.height, image.width)
        if mode == "I":  # of 16 bits with a sign
            with pytest.raises(PictureError, match="samples from -5000"):
                read_picture(file, form, "exact")
            continue
        picture = read_picture(file, form, "exact").astype(int)
        if mode[0] in "IF":
            assert picture.std() > 40, file.name
        else:
            assert np.abs(picture - np.asarray(over(image))).max() <= 1, file.name


def test_broken_files_of_the_formats_are_named(shared_data: Path) -> None:
    files = [
        path for path in sorted((shared_data / "formats" / "broken").iterdir()) if path.name[:4] in ("avif", "jp2_")
    ]
    files += sorted((shared_data / "formats" / "broken").glob("tiff_*"))
    assert len(files) >= 15
    for file in files:
        with pytest.raises(PictureError):
            read_picture(file, FORM)


def test_a_jpeg_xl_is_read_where_its_plugin_is_and_else_says_what_to_install(shared_data: Path) -> None:
    files = sorted((shared_data / "formats" / "jxl").iterdir())
    try:
        import pillow_jxl  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        with pytest.raises(PictureError, match="pip install pillow-jxl-plugin"):
            read_picture(files[0], FORM)
        return
    assert all(read_picture(file, FORM).std() > 1 for file in files)
