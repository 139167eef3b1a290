"""A picture of a few colours, encoded in any format."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from edgefeat._images.form import PictureForm

Pixels = NDArray[np.uint8]

HEIGHT, WIDTH = 60, 80

FORM = PictureForm(HEIGHT, WIDTH)

HAS_AVIF = features.check("avif")


def scene() -> Image.Image:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64) / WIDTH
    disc = 255.0 * ((x - 0.3) ** 2 + (y - 0.2) ** 2 < 0.02)
    return Image.fromarray(np.stack([255 * x, 255 * y, disc], axis=2).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
