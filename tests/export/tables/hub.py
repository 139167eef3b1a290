"""Every kind of backbone of KerasHub, exported with two poolings and compared with KerasHub: `make hub` (minutes).

`python -m tests.export.tables.hub PHOTOS [--names a,b]` exports small networks of `hub_networks` from their preset
folders, by the authors' pooling and by another, and runs the float32 files on 12 photos. Printed is the lowest cosine
to what KerasHub's own model gives, pooled by NumPy. The exit status is 1 if one is below 0.9999 or an export fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tests.export.models.networks.hub_models import build, own, save
from tests.export.models.networks.hub_networks import NETWORKS, SIDE

from edgefeat import EdgefeatError, Extractor, load
from edgefeat._bundle.manifest import Tap

LOWEST = 0.9999
VARIANTS = ("tflite-float32", "onnx-float32")


def photos(folder: Path) -> Any:
    """Return 12 photos as uint8 (12, SIDE, SIDE, 3)."""
    import keras

    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))[:12]
    read = [keras.utils.load_img(file, target_size=(SIDE, SIDE), interpolation="bilinear") for file in files]
    return np.stack([np.asarray(one, np.uint8) for one in read])


def expected(output: Any, tap: Tap) -> Any:
    """Return the features that the model's output has by the tap's pooling, by NumPy, with length 1."""
    tokens = output.ndim == 3
    special = len(tap.tokens.special) if tap.tokens is not None else 0
    rows = output if tokens or output.ndim == 2 else output.reshape(len(output), -1, output.shape[-1])
    match tap.pooling:
        case "cls":
            rows = rows[:, 0]
        case "avg" | "mean":
            rows = rows.mean(1)
        case "max":
            rows = rows[:, special:].max(1)
        case "none" if rows.ndim == 2:
            pass
        case other:
            raise ValueError(f"pooling {other} is not compared here")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def lowest(extractor: Extractor, wanted: Any, pictures: Any) -> float:
    """Return the lowest cosine of the only tap's features to `wanted`."""
    (found,) = extractor.run(pictures)
    return float((found * wanted).sum(1).min())


def compared(name: str, pooling: Literal["max"] | None, pictures: Any) -> tuple[Tap, dict[str, float]]:
    """Export a network by the pooling and return its tap, and each variant's lowest cosine to KerasHub."""
    import edgefeat_export

    with tempfile.TemporaryDirectory() as folder:
        model = build(name)
        preset = save(model, Path(folder) / name, image_size=(SIDE, SIDE), scale=1 / 127.5, offset=-1.0)
        bundle = Path(folder) / "bundle"
        edgefeat_export.export(f"hub:{preset}", bundle, preprocess="tf", pooling=pooling, variants=list(VARIANTS))
        manifest = load(bundle).bundle.manifest
        (tap,) = manifest.taps
        pictures = np.ascontiguousarray(pictures[:, : manifest.picture.height, : manifest.picture.width])
        wanted = expected(own(model, pictures), tap)
        return tap, {variant: lowest(load(bundle, variant=variant), wanted, pictures) for variant in VARIANTS}


def main() -> int:
    """Print a line for each network and pooling."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--names", default=",".join(NETWORKS))
    given = parser.parse_args()
    pictures = photos(given.photos)
    failed = 0
    for name in given.names.split(","):
        poolings: tuple[Literal["max"] | None, ...] = (None, "max")
        for pooling in poolings:
            try:
                tap, cosines = compared(name, pooling, pictures)
            except EdgefeatError as error:
                failed += 1
                print(f"{name:18s} FAILED: {error}", flush=True)
                continue
            failed += min(cosines.values()) < LOWEST
            figures = ", ".join(f"{variant} {cosine:.6f}" for variant, cosine in cosines.items())
            print(f"{name:18s} {tap.pooling:6s} {'x'.join(map(str, tap.shape)):8s} {figures}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
