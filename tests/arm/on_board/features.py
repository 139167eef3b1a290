"""Runs on the emulated board and on x86: a bundle's features, each variant on each engine, and prepared pictures.

    python features.py OUTPUT.npz PHOTOS BUNDLE

Arrays by name: `features/ENGINE/VARIANT/TAP`, of the golden pictures; `pictures/DECODING/FILE`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgefeat
from edgefeat._bundle.golden import read_golden
from edgefeat._bundle.reader import Bundle
from edgefeat._engines.selection import candidates
from edgefeat._images.picture import read_picture


def main(output: str, photos: str, folder: str) -> None:
    """Writes them all into one file."""
    bundle = Bundle.open(folder)
    pictures = read_golden(bundle).pictures
    arrays: dict[str, NDArray[Any]] = {}
    for choice in candidates(bundle):
        variant, engine = choice.variant.name, choice.engine.name
        extractor = edgefeat.load(folder, variant=variant, engine=engine, threads=1)
        features = zip(extractor.taps, extractor.run(pictures), strict=True)
        arrays.update({f"features/{engine}/{variant}/{tap.name}": feature for tap, feature in features})
    for name in sorted(os.listdir(photos)):
        for decoding in ("fast", "exact"):
            path = os.path.join(photos, name)
            arrays[f"pictures/{decoding}/{name}"] = read_picture(path, bundle.manifest.picture, decoding)
    np.savez(output, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes them for its allow_pickle


if __name__ == "__main__":
    main(*sys.argv[1:])
