"""int8 of networks that are hard to quantize, with weights that learned, for docs/fidelity.md: `make int8-hard`.

`python -m tests.export.tables.learned --photos FOLDERS --calibration FOLDER --evaluation FOLDER [--names a,b]` trains
networks of Keras without labels: from crops of photos each learns the features that EfficientNet-Lite0 with ImageNet
weights has of them (Hinton et al., Distilling the Knowledge in a Neural Network, 2015). Random weights are easier or
harder than these, by the network. The fidelity is that of the export on photos that neither the training nor the
calibration saw; times are ratios, measured in turn.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.export.tables.chips import DATA
from tests.export.tables.runs.exports import export, fidelity, photos_in
from tests.export.tables.runs.rows import append, read, write_between

import edgefeat
from edgefeat_export._measure.timing import medians

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "fidelity.md"
BEGIN, END = "<!-- learned: begin -->", "<!-- learned: end -->"
SIDE, TEACHER_SIDE = 96, 224
CROPS, BATCH = 12, 64
VARIANTS = ("tflite-int8", "tflite-dynamic", "onnx-int8")
THREADS = (1, 2)
TRIES = 9
#: The class in keras.applications, by the name of the backbone.
NETWORKS = {
    "mobilenet_v3_large": "MobileNetV3Large",
    "efficientnet_b0": "EfficientNetB0",
    "efficientnet_v2_b0": "EfficientNetV2B0",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One network: `learned`, the mean cosine to the teacher's features on the photos of the evaluation, both without
    the teacher's mean; and by variant its mean cosine, minimum and overlap@10, and how much faster than float32 it is
    with one thread and two.

    A refused variant has neither.
    """

    network: str
    learned: float
    figures: dict[str, tuple[float, float, float]]
    faster: dict[str, tuple[float, ...]]


def crops(files: Sequence[Path], count: int) -> NDArray[np.uint8]:
    """Return `count` random crops of each photo, or the photo itself for 0, as uint8 (N, 224, 224, 3)."""
    random, found = np.random.default_rng(0), []
    for file in files:
        with Image.open(file) as opened:
            photo = opened.convert("RGB")
        if not count:
            found.append(np.asarray(photo.resize((TEACHER_SIDE, TEACHER_SIDE), Image.Resampling.BILINEAR)))
        for _ in range(count):
            share, ratio = random.uniform(0.3, 1), np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
            width = min(photo.width, round(np.sqrt(photo.width * photo.height * share * ratio)))
            height = min(photo.height, round(np.sqrt(photo.width * photo.height * share / ratio)))
            left, top = random.integers(0, photo.width - width + 1), random.integers(0, photo.height - height + 1)
            box = (left, top, left + width, top + height)
            size = (TEACHER_SIDE, TEACHER_SIDE)
            crop = np.asarray(photo.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))
            found.append(crop[:, ::-1] if random.random() < 0.5 else crop)
    return np.stack(found)


def small(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the pictures at the side of the student."""
    size = (SIDE, SIDE)
    return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in pictures])


def train(name: str, pictures: NDArray[np.uint8], features: NDArray[np.float32], epochs: int, weights: Path) -> Any:
    """Train, write the weights of the backbone, and return the model with its projection."""
    import keras

    keras.utils.set_random_seed(0)
    made = getattr(keras.applications, NETWORKS[name])
    backbone = made(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # the moving averages are to follow within few epochs
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(features.shape[-1])(pooled))
    rate = keras.optimizers.schedules.CosineDecay(1e-3, epochs * -(-len(pictures) // BATCH))
    # Keras's cosine similarity is -1 for equal directions.
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0), loss=keras.losses.CosineSimilarity())
    model.fit(pictures, features, BATCH, epochs, verbose=2)
    backbone.save_weights(weights)
    return model


def faster(bundle: Path, variant: str) -> tuple[float, ...]:
    """Return how much faster a variant is than float32, called in turn, by number of threads.

    It is the median of some tries with sessions of their own, whose threads the system may place badly.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    found = []
    for threads in THREADS:
        ratios = []
        for _ in range(TRIES):
            names = (f"{variant.partition('-')[0]}-float32", variant)
            loaded = [edgefeat.load(bundle, variant=one, threads=threads) for one in names]
            plain, quantized = medians([functools.partial(extractor.run, pictures) for extractor in loaded])
            ratios.append(plain / quantized)
        found.append(statistics.median(ratios))
    return tuple(found)


def row(name: str, learned: float, bundle: Path) -> Row:
    """Return the figures of an exported network."""
    figures = fidelity(bundle, VARIANTS)
    times = {name: faster(bundle, name) for name in figures}
    return Row(name, learned, figures, times)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [f"| network | learned |{''.join(f' {variant} | faster |' for variant in VARIANTS)}"]
    lines.append(f"|---|---:|{'---|---:|' * len(VARIANTS)}")
    for one in rows:
        cells = [f"`{one.network}`", f"{one.learned:.2f}"]
        for variant in VARIANTS:
            if variant in one.figures:
                cells.append("{:.4f}, {:.4f}, {:.3f}".format(*one.figures[variant]))
                cells.append(", ".join(f"{times:.1f}x" for times in one.faster[variant]))
            else:
                cells += ["left out", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Train and export what is not yet done and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", required=True, help="comma-separated folders to learn from")
    parser.add_argument("--calibration", required=True, help="folder to calibrate on")
    parser.add_argument("--evaluation", type=Path, required=True, help="folder of other photos to measure fidelity on")
    parser.add_argument("--epochs", type=int, default=8, help="of training")
    parser.add_argument("--names", default=",".join(NETWORKS), help="comma-separated; default: all")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "learned.jsonl")
    given = parser.parse_args()
    rows = {one.network: one for one in read(given.results, Row)}
    wanted = [name for name in given.names.split(",") if name not in rows]
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        for one in measured(wanted, given, Path(folder)) if wanted else ():
            rows[one.network] = one
            append(given.results, one)
            print(table([one]).splitlines()[-1], flush=True)
    write_between(PAGE, BEGIN, END, table([rows[name] for name in NETWORKS if name in rows]))
    return 0


def measured(names: Sequence[str], given: argparse.Namespace, work: Path) -> Iterator[Row]:
    """Train, export and measure each network."""
    lite0 = str(DATA / "models" / "efficientnet_lite0_imagenet.keras")
    calibrated = ["--calibration", given.calibration]
    bundle = export(
        [lite0, "--preprocess", "tf", "--variants", "tflite-float32", *calibrated], work / "teacher.edgefeat"
    )
    teacher = edgefeat.load(bundle)
    pictures = crops(photos_in(*map(Path, given.photos.split(","))), CROPS)
    unseen = crops(photos_in(given.evaluation), 0)
    (features,), (own,) = teacher.run(pictures), teacher.run(unseen)
    middle = features.mean(0)
    features, own = features - middle, own - middle  # what they have in common teaches nothing
    print(f"{len(pictures)} crops to learn from, {len(unseen)} other photos", flush=True)
    variants = ",".join(("tflite-float32", "onnx-float32", *VARIANTS))
    for name in names:
        weights = work / f"{name}.weights.h5"
        model = train(name, small(pictures), features, given.epochs, weights)
        found = model.predict(small(unseen).astype(np.float32), verbose=0)
        learned = float(
            np.mean(np.sum(found * own, -1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(own, axis=-1))
        )
        options = [name, "--input-size", str(SIDE), "--weights", str(weights), "--variants", variants, *calibrated]
        bundle = export([*options, "--evaluation", str(given.evaluation)], work / f"{name}.edgefeat")
        yield row(name, learned, bundle)


if __name__ == "__main__":
    sys.exit(main())
