"""Runs on x86: some photos as cameras and people make them, into a folder, for boards and x86 to prepare alike.

python photos.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112


def main(folder: str) -> None:
    """Writes them."""
    random = np.random.default_rng(3)
    coarse = Image.fromarray(random.integers(0, 256, (30, 40, 3), np.uint8))
    photo = coarse.resize((1600, 1200), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[_ORIENTATION] = 6
    where = Path(folder)
    photo.save(where / "photo.jpg", quality=90)
    photo.resize((640, 480)).save(where / "turned.jpg", quality=75, exif=turned)
    photo.convert("L").resize((500, 333)).save(where / "grey.jpg")
    photo.resize((300, 200)).convert("RGBA").save(where / "transparent.png")
    photo.resize((320, 240)).save(where / "lossy.webp", quality=80)
    photo.resize((24, 18)).save(where / "tiny.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
