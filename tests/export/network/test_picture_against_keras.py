"""`exact` decoding against Keras itself, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("keras", reason="needs the export extra")

import keras

from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture

SIZES = [(224, 224), (96, 160), (33, 71), (480, 640)]


def by_keras(path: Path, size: tuple[int, int], **options: Any) -> np.ndarray:
    return np.asarray(keras.utils.load_img(path, target_size=size, interpolation="bilinear", **options))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_a_file_of_each_kind_is_read_as_keras_reads_it(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    path = tmp_path / f"picture.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (301, 407, 3), np.uint8)
    smooth = Image.fromarray(noise).resize((23, 17)).resize((407, 301), Image.Resampling.BICUBIC)
    smooth.save(path)
    form = PictureForm(*size)
    np.testing.assert_array_equal(read_picture(path, form, "exact"), by_keras(path, size))
    cropped = PictureForm(*size, fit="crop")
    expected = by_keras(path, size, keep_aspect_ratio=True)
    np.testing.assert_array_equal(read_picture(path, cropped, "exact"), expected)


@pytest.mark.parametrize("folder", ["calibration", "flowers17/class_03"])
@pytest.mark.parametrize("size", SIZES[:2])
def test_real_photos_are_read_as_keras_reads_them(shared_data: Path, folder: str, size: tuple[int, int]) -> None:
    photos = sorted(path for path in (shared_data / folder).iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    assert len(photos) >= 40
    for photo in photos[::4]:
        with Image.open(photo) as image:
            if image.mode != "RGB" or image.getexif().get(0x0112, 1) != 1:
                continue  # Keras neither turns a picture upright nor lays it over white
        np.testing.assert_array_equal(read_picture(photo, PictureForm(*size), "exact"), by_keras(photo, size))


def test_camera_photos_are_read_as_keras_reads_them(shared_data: Path) -> None:
    compared = 0
    for photo in sorted((shared_data / "camera").iterdir()):
        with Image.open(photo) as image:
            upright = image.getexif().get(0x0112, 1) == 1
        if upright:
            found = read_picture(photo, PictureForm(224, 224), "exact")
            np.testing.assert_array_equal(found, by_keras(photo, (224, 224)))
            compared += 1
    assert compared
