"""Networks without floats on NPUs and in TensorFlow Lite Micro, for docs/npu.md: `make npu` (resumes).

`python -m tests.export.tables.chips [--names a,b] [--photos FOLDER] [--evaluation FOLDER]` exports each network of
the list to build/chips, unless it is there, compiles it with `edgefeat npu`, and runs it with `edgefeat micro` on up to
100 photos.
Weights of those with a file come from the folder that EDGEFEAT_TEST_DATA names, ImageNet ones from KERAS_HOME or the
net. Random weights say nothing about fidelity, and everything about operators.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgefeat
from edgefeat._commands.cli.terminal import reason

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "npu.md"
BEGIN, END = "<!-- chips: begin -->", "<!-- chips: end -->"
WORK = ROOT / "build" / "chips"
TARGETS = ("ethos-u55-128", "ethos-u65-256")
DATA = Path(os.environ.get("EDGEFEAT_TEST_DATA", ROOT.parent / "shared" / "data"))


@dataclass(frozen=True, slots=True)
class Case:
    """A network, and what `edgefeat export` is given; `random` weights are not held to a gate."""

    title: str
    arguments: tuple[str, ...]
    random: bool = False


CASES = {
    "mobilenet_0.25_96": Case(
        "`mobilenet` 0.25 at 96",
        (
            *("mobilenet", "--alpha", "0.25", "--input-size", "96"),
            *("--weights", str(DATA / "keras-home" / "models" / "mobilenet_2_5_224_tf_no_top.h5")),
        ),
    ),
    "mobilenet_v2_0.35": Case("`mobilenet_v2` 0.35", ("mobilenet_v2", "--alpha", "0.35")),
    "efficientnet_lite0": Case(
        "EfficientNet-Lite0", (str(DATA / "models" / "efficientnet_lite0_imagenet.keras"), "--preprocess", "tf")
    ),
    "mobilenet_v3_small_96": Case(
        "`mobilenet_v3_small` at 96",
        (
            *("mobilenet_v3_small", "--input-size", "96"),
            *("--weights", str(DATA / "models" / "mobilenetv3small_tiny.weights.h5")),
        ),
    ),
    "mini_xception_64": Case(
        "mini Xception, 64 x 64 gray",
        (str(DATA / "models" / "fer_mini_xception_gray64.hdf5"), "--preprocess", "tf"),
    ),
    "resnet50": Case(
        "`resnet50`, random weights",
        ("resnet50", "--weights", "random", "--correction", "none", "--effort", "quick", "--min-fidelity", "0"),
        random=True,
    ),
}


def run(*arguments: object) -> dict[str, Any]:
    """Return what an `edgefeat` command prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "edgefeat", *map(str, arguments), "--json"], capture_output=True, text=True, check=False
    )
    if not done.stdout.strip():
        raise SystemExit(f"edgefeat {' '.join(map(str, arguments))}: {reason(done.stderr)}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def exported(name: str, photos: str | None, evaluation: str | None) -> edgefeat.Bundle:
    """Return the bundle of a case, and make it if it is missing."""
    path, case = WORK / f"{name}.edgefeat", CASES[name]
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        given = [] if photos is None or case.random else ["--calibration", photos]
        given += [] if evaluation is None or case.random else ["--evaluation", evaluation]
        run("export", *case.arguments, "--variants", "tflite-integer", *given, "-o", path)
    return edgefeat.Bundle.open(path)


def row(name: str, photos: str | None, evaluation: str | None) -> str:
    """Return the table row of a case."""
    case, bundle = CASES[name], exported(name, photos, evaluation)
    (variant,) = [one for one in bundle.manifest.variants if one.name == "tflite-integer"]
    (figures,) = variant.fidelity.values()
    overlap = "-" if figures.overlap is None else f"{figures.overlap:.3f}"
    fidelity = ["-"] * 3 if case.random else [str(figures.pictures), f"{figures.mean_cosine:.4f}", overlap]
    compiled = run("npu", bundle.path, *[part for target in TARGETS for part in ("--target", target)], "-o", WORK)
    npus = []
    for one in compiled["targets"]:
        share = one["npu"] / (one["npu"] + one["cpu"])
        memory = one["sram"] + one["dram"]
        npus += [f"{share:.0%}", f"{one['cycles'] / 1e6:.1f} M", f"{one['milliseconds']:.1f} ms", kilobytes(memory)]
    micro = run("micro", bundle.path, *(["--photos", photos] if photos is not None else []))
    equal = "equal" if micro["different"] == 0 else f"{micro['different']} differ"
    cells = [case.title, *fidelity, *npus, kilobytes(micro["model"]), kilobytes(micro["arena"]), equal]
    return f"| {' | '.join(cells)} |"


def kilobytes(size: int) -> str:
    """Return a size in KB of 1024 bytes."""
    return f"{size / 1024:,.0f} KB"


def main() -> None:
    """Write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", default=",".join(CASES))
    parser.add_argument("--photos", help="folder to calibrate on, and to compare TensorFlow Lite Micro on")
    parser.add_argument("--evaluation", help="folder to measure fidelity on")
    options = parser.parse_args()
    npus = [f"{column}, {target[6:]}" for target in TARGETS for column in ("on the NPU", "cycles", "time", "memory")]
    head = ["network", "photos", "mean cosine", "overlap@10", *npus, "file", "arena", "TFLM to reference"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name in options.names.split(","):
        lines.append(row(name, options.photos, options.evaluation))
        print(lines[-1], flush=True)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
