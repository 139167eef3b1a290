"""Photos for the page: of the model's own size, larger, turned by EXIF, transparent, of odd sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import edgefeat


def make_photos(folder: Path, bundle: edgefeat.Bundle) -> dict[str, Path]:
    """A picture of the model's own size, and photos larger than it: JPEG, turned by EXIF, transparent, odd sizes."""
    rng = np.random.default_rng(5)
    with np.load(bundle.path / "golden.npz") as golden:
        own = golden["pictures"][0]
    rough = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).resize((1203, 901), Image.Resampling.BICUBIC)
    turned = {}
    for orientation in (3, 6):
        turned[orientation] = Image.Exif()
        turned[orientation][0x0112] = orientation
    seethrough = rough.resize((301, 207)).convert("RGBA")
    seethrough.putalpha(Image.linear_gradient("L").resize((301, 207)))
    photos = {
        name: folder / name
        for name in ("own.png", "large.jpg", "turned.jpg", "quarter.jpg", "seethrough.png", "small.png")
    }
    Image.fromarray(own).save(photos["own.png"])
    rough.save(photos["large.jpg"], quality=90)
    rough.save(photos["turned.jpg"], quality=90, exif=turned[3])
    rough.save(photos["quarter.jpg"], quality=90, exif=turned[6])
    seethrough.save(photos["seethrough.png"])
    rough.resize((19, 23)).save(photos["small.png"])
    return photos
