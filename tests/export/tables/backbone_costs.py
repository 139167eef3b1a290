"""What a backbone costs on a device, for docs/backbones.md: `make backbone-costs` (an hour; resumes).

`python -m tests.export.tables.backbone_costs --photos FOLDER [--names a,b]` exports a dozen backbones with random
weights and times each file in turn with MobileNetV2's, one thread, one image. Times do not depend on the weights. The
table has multiples of MobileNetV2's time on the same engine, which differ less from machine to machine than
milliseconds, and MobileNetV2's own milliseconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.export.tables.runs.rows import append, read, write_between
from tests.export.tables.runs.sampled import sampled

import edgefeat
from edgefeat_export._measure.timing import medians

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "backbones.md"
BEGIN, END = "<!-- costs: begin -->", "<!-- costs: end -->"
BASE = "mobilenet_v2"
NAMES = (
    BASE,
    "mobilenet_v3_small",
    "efficientnet_lite0",
    "hub:deit_tiny_distilled_patch16_224_imagenet",
    "hub:deit_small_distilled_patch16_224_imagenet",
    "hub:dinov2_small",
    "hub:swin_tiny_patch4_window7_224",
    "convnext_tiny",
    "resnet50",
    "hub:clip_vit_base_patch32",
    "hub:vit_base_patch16_224_imagenet",
    "hub:siglip_base_patch16_224",
)
FORMATS = ("tflite", "onnx")
#: The small files, the first that was written for each format.
SMALL = {"tflite": ("tflite-int8", "tflite-dynamic"), "onnx": ("onnx-int8",)}


@dataclass(frozen=True, slots=True)
class Row:
    """One backbone: multiply-accumulates, times as multiples of MobileNetV2's, and cosines of what was written.

    `base` is MobileNetV2's own time in milliseconds, by format; `bytes` the size of each file.
    """

    backbone: str
    size: int
    parameters: int
    macs: int
    length: int
    times: dict[str, float]
    cosines: dict[str, float]
    bytes: dict[str, int]
    base: dict[str, float]


def command(*arguments: str) -> Any:
    """Return what an edgefeat command prints as JSON. Raises RuntimeError with its last words if it fails."""
    done = sampled([sys.executable, "-m", "edgefeat", *arguments, "--json"])
    if done.status != 0:
        raise RuntimeError(f"edgefeat {' '.join(arguments[:2])}: {done.last_words}")
    return json.loads(done.output)


def export(name: str, target: Path, photos: str) -> None:
    """Export with the default variants and random weights."""
    given = ("--weights", "random", "--effort", "quick", "--calibration", photos)
    command("export", name, *given, "-o", str(target))


def seconds(bundle: Path, variant: str, base: Path) -> tuple[float, float]:
    """Return the seconds of a variant and of MobileNetV2's float32 in the same format, called in turn."""
    calls = []
    for folder, name in ((bundle, variant), (base, f"{variant.partition('-')[0]}-float32")):
        extractor = edgefeat.load(folder, variant=name, threads=1)
        form = extractor.bundle.manifest.picture
        pictures = np.random.default_rng(0).integers(0, 256, (1, form.height, form.width, 3), np.uint8)
        calls.append(lambda extractor=extractor, pictures=pictures: extractor.run(pictures))
    own, other = medians(calls)
    return own, other


def row(name: str, bundle: Path, base: Path) -> Row:
    """Time the files of an exported backbone."""
    manifest = edgefeat.Bundle.open(bundle).manifest
    tap = manifest.taps[0]
    layers = command("layers", name)["layers"]
    cut = next(one for one in layers if one["name"] == tap.layer)
    times, bases = {}, {}
    for variant in manifest.variants:
        own, other = seconds(bundle, variant.name, base)
        times[variant.name], bases[variant.name.partition("-")[0]] = own / other, other * 1e3
    return Row(
        backbone=name,
        size=manifest.picture.height,
        parameters=int(cut["cumulative_parameters"]),
        macs=int(cut["cumulative_macs"]),
        length=tap.shape[-1],
        times=times,
        cosines={one.name: min(found.mean_cosine for found in one.fidelity.values()) for one in manifest.variants},
        bytes={one.name: one.file.size for one in manifest.variants},
        base=bases,
    )


def small(one: Row, form: str) -> str:
    """Return how much faster than float32 the small file of a format is, and its cosine."""
    name = next((variant for variant in SMALL[form] if variant in one.times), None)
    if name is None:
        return "left out"
    kind = "" if name.endswith("int8") else " (dynamic)"
    return f"{one.times[f'{form}-float32'] / one.times[name]:.1f}x, {one.cosines[name]:.3f}{kind}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, by multiply-accumulates."""
    head = ["backbone", "input", "M parameters", "M MACs", "feature", "MB float32", "LiteRT", "ONNX Runtime"]
    head += ["LiteRT small", "ONNX Runtime int8"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for one in sorted(rows, key=lambda one: one.macs):
        cells = [f"`{one.backbone}`", str(one.size), f"{one.parameters / 1e6:.1f}", f"{one.macs / 1e6:,.0f}"]
        cells += [str(one.length), f"{one.bytes['tflite-float32'] / 1e6:.0f}"]
        cells += [f"{one.times[name]:.1f}x" if (name := f"{form}-float32") in one.times else "-" for form in FORMATS]
        cells += [small(one, form) for form in FORMATS]
        lines.append(f"| {' | '.join(cells)} |")
    base = next((one.base for one in rows if one.backbone == BASE), None)
    if base is not None:
        lines += ["", f"1x is {base['tflite']:.1f} ms with LiteRT and {base['onnx']:.1f} ms with ONNX Runtime."]
    return "\n".join(lines)


def main() -> int:
    """Run what is not yet done and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", required=True, help="folder of photos to calibrate on")
    parser.add_argument("--names", default=",".join(NAMES), help="comma-separated; default: a dozen")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "backbone-costs.jsonl")
    given = parser.parse_args()
    rows = {one.backbone: one for one in read(given.results, Row)}
    missing = [name for name in given.names.split(",") if name not in rows]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        base = Path(folder) / "base"
        if missing:
            export(BASE, base, given.photos)
        for name in missing:
            with tempfile.TemporaryDirectory(prefix="edgefeat-") as own:
                bundle = base if name == BASE else Path(own) / "bundle"
                try:
                    if name != BASE:
                        export(name, bundle, given.photos)
                    rows[name] = row(name, bundle, base)
                except RuntimeError as error:
                    failed += 1
                    print(error, file=sys.stderr, flush=True)
                    continue
            append(given.results, rows[name])
            print(table([rows[name]]).splitlines()[2], flush=True)
    write_between(PAGE, BEGIN, END, table(list(rows.values())))
    print(f"{len(rows)} rows in {PAGE}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
