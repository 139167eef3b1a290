"""How the int8 files depend on what they are calibrated on, for docs/fidelity.md: `make int8-calibration` (resumes).

`python -m tests.export.tables.calibration --photos FOLDER --evaluation FOLDER [--alike FOLDER] [--names a,b]` exports
networks with trained weights again and again: on all photos of the folder with three seeds, on fewer of them, on
photos like those of the evaluation (`--alike`), and on generated images alone. Fidelity is that of the export on the
photos of `--evaluation`, which nothing was fitted to.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.export.tables.chips import DATA
from tests.export.tables.runs.exports import export, int8_fidelity, photos_in
from tests.export.tables.runs.rows import append, read, write_between

from edgefeat_export._images.calibration import MOST_CALIBRATING

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "fidelity.md"
BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
VARIANTS = ("tflite-int8", "onnx-int8")
FEWER = (50, 25, 10)
SEEDS = (0, 1, 2)
NETWORKS = {
    "MobileNetV2 0.35": ("mobilenet_v2", "--alpha", "0.35"),
    "MobileNet 0.25": ("mobilenet", "--alpha", "0.25"),
    "EfficientNet-Lite0": (str(DATA / "models" / "efficientnet_lite0_imagenet.keras"), "--preprocess", "tf"),
    "MobileNetV3 Small at 96": (
        *("mobilenet_v3_small", "--input-size", "96"),
        *("--weights", str(DATA / "models" / "mobilenetv3small_tiny.weights.h5")),
    ),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What is calibrated on: `count` photos of a folder with a seed; no folder means generated images."""

    title: str
    folder: Path | None
    count: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One export: mean cosine, minimum and overlap@10 of each int8 variant; a refused one has none."""

    network: str
    setting: str
    figures: dict[str, tuple[float, float, float]]


def settings(photos: Path, alike: Path | None) -> Iterator[Setting]:
    """Yield every setting, from the usual to the poorest."""
    count = len(photos_in(photos))
    if alike is not None:
        many = len(photos_in(alike))
        used = f", of which {MOST_CALIBRATING} are used" if many > MOST_CALIBRATING else ""
        yield Setting(f"{many} of the same kind{used}", alike, many)
    for seed in SEEDS:
        yield Setting(f"{count}, seed {seed}", photos, count, seed)
    for fewer in FEWER:
        if fewer < count:
            yield Setting(f"{fewer}", photos, fewer)
    yield Setting("none: generated images", None, 0)


def row(network: str, setting: Setting, evaluation: Path) -> Row:
    """Export in one setting and return the fidelity on the photos of the evaluation."""
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        bundle, chosen = Path(folder) / "out.edgefeat", Path(folder) / "photos"
        command = [*NETWORKS[network], "--variants", ",".join(VARIANTS), "--seed", str(setting.seed)]
        command += ["--evaluation", str(evaluation)]
        if setting.folder is not None:
            chosen.mkdir()
            for index, file in enumerate(photos_in(setting.folder)[: setting.count]):
                shutil.copyfile(file, chosen / f"{index:04}-{file.name}")
            command += ["--calibration", str(chosen)]
        export(command, bundle)
        return Row(network, setting.title, int8_fidelity(bundle))


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = ["| network | photos to calibrate on | tflite-int8 | onnx-int8 |", "|---|---|---|---|"]
    for index, one in enumerate(rows):
        name = "" if index and rows[index - 1].network == one.network else one.network
        cells = [
            "left out" if variant not in one.figures else "{:.4f}, {:.4f}, {:.3f}".format(*one.figures[variant])
            for variant in VARIANTS
        ]
        lines.append(f"| {' | '.join((name, one.setting, *cells))} |")
    return "\n".join(lines)


def main() -> int:
    """Run what is not yet done and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder to calibrate on")
    parser.add_argument("--evaluation", type=Path, required=True, help="folder to measure fidelity on")
    parser.add_argument("--alike", type=Path, help="folder to calibrate on, of photos like those of the evaluation")
    parser.add_argument("--names", default="", help="comma-separated; every network without")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "calibration.jsonl")
    given = parser.parse_args()
    known = {(one.network, one.setting): one for one in read(given.results, Row)}
    chosen = [name for name in given.names.split(",") if name] or list(NETWORKS)
    for network in chosen:
        for setting in settings(given.photos, given.alike):
            if (network, setting.title) not in known:
                one = known[network, setting.title] = row(network, setting, given.evaluation)
                append(given.results, one)
                print(table([one]).splitlines()[-1], flush=True)
    wanted = [setting.title for setting in settings(given.photos, given.alike)]
    rows = [known[network, title] for network in NETWORKS for title in wanted if (network, title) in known]
    write_between(PAGE, BEGIN, END, table(rows))
    print(f"{len(rows)} rows in {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
