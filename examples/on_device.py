"""Extract features on the device, without TensorFlow.

    python examples/on_device.py BUNDLE PHOTO... -o features.npy

`keras_recipes.py` starts this in a separate process, so that it compares Keras with what a device gives.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from PIL import Image

import edgefeat


def main() -> None:
    """Write the features, float32 (N, ...), in the order of the photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("photos", nargs="+")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--variant", help="model file to run (default: the first that can)")
    parser.add_argument("--nearest", action="store_true", help="resize with nearest neighbour, the default of load_img")
    given = parser.parse_args()

    # "exact" decodes every pixel, as Keras does; the default is faster on large JPEGs and slightly different.
    extractor = edgefeat.load(given.bundle, variant=given.variant, decoding="exact")
    if given.nearest:
        form = extractor.bundle.manifest.picture
        features = extractor.extract([resized(photo, form.width, form.height) for photo in given.photos])
    else:
        features = extractor.extract(given.photos)
    np.save(given.output, features)
    for package in ("tensorflow", "keras", "edgefeat_export"):
        assert package not in sys.modules, f"{package} was imported"
    print(f"{len(given.photos)} photos by {extractor.variant} on {extractor.engine}, TensorFlow not imported")


def resized(photo: str, width: int, height: int) -> np.ndarray:
    """Return the photo at the model's size, uint8 RGB: edgefeat does not resize it again."""
    with Image.open(photo) as image:
        return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.NEAREST))


if __name__ == "__main__":
    main()
