"""Time and memory of exports beside the stock conversion, for docs/backbones.md: `make export-cost` (resumes).

`python -m tests.export.tables.cost --photos FOLDER [--names a,b] [--again]` exports each network of the list with the
default variants, and makes the same six files by the stock tools in one process, in turn. The memory of all processes
is sampled. For the large networks only the export is run. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.export.tables.runs.rows import append, read, write_between
from tests.export.tables.runs.sampled import sampled

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "backbones.md"
BEGIN, END = "<!-- cost: begin -->", "<!-- cost: end -->"

# Keras stays out of this process.
_BUILD = {
    "small": """
from keras import Sequential, layers
model = Sequential([layers.Input((32, 32, 3))])
for filters in (32, 64, 128):
    model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
    model.add(layers.BatchNormalization())
    model.add(layers.MaxPooling2D())
model.add(layers.GlobalAveragePooling2D())
model.add(layers.Dense(128, activation="relu"))
model.add(layers.Dense(10, activation="softmax"))
""",
    "application": """
import keras
model = getattr(keras.applications, "{name}")(weights={weights!r}, include_top=False, **{options!r})
""",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A network: what `edgefeat export` is given, and how the stock conversion gets it (None: not run)."""

    title: str
    arguments: tuple[str, ...]
    build: str | None = None


def _application(name: str, weights: str | None, **options: object) -> str:
    return _BUILD["application"].format(name=name, weights=weights, options={"input_shape": (224, 224, 3), **options})


CASES = {
    "small": Case("a CNN of 100,000 parameters at 32x32, saved file", (), _BUILD["small"]),
    "mobilenet_v2_0.35": Case(
        "`mobilenet_v2` 0.35, ImageNet weights",
        ("mobilenet_v2", "--alpha", "0.35"),
        _application("MobileNetV2", "imagenet", alpha=0.35),
    ),
    "mobilenet_v2": Case(
        "`mobilenet_v2`, random weights",
        ("mobilenet_v2", "--weights", "random"),
        _application("MobileNetV2", None),
    ),
    "resnet50": Case("`resnet50`, random weights", ("resnet50", "--weights", "random"), _application("ResNet50", None)),
    "resnet152": Case("`resnet152`, random weights", ("resnet152", "--weights", "random")),
    "efficientnet_b4": Case("`efficientnet_b4`, random weights", ("efficientnet_b4", "--weights", "random")),
    "inception_resnet_v2": Case(
        "`inception_resnet_v2`, random weights", ("inception_resnet_v2", "--weights", "random")
    ),
    "vgg16_fc2": Case("`vgg16 --layer fc2`, random weights", ("vgg16", "--layer", "fc2", "--weights", "random")),
}


@dataclass(frozen=True, slots=True)
class Row:
    """The cost of one network: seconds and peak bytes of the export and of the stock conversion, 0 if it was not run.

    `longest` and `largest` name the step of the export that took longest, and the one that took the most memory.
    """

    name: str
    seconds: float
    peak_bytes: int
    stock_seconds: float
    stock_peak_bytes: int
    longest: str
    largest: str


def row(name: str, case: Case, photos: Path) -> Row:
    """Export one network and convert it by the stock tools; raise RuntimeError if either fails."""
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as temporary:
        folder = Path(temporary)
        saved = folder / "model.keras"
        if case.build is not None:
            subprocess.run([sys.executable, "-c", f"{case.build}\nmodel.save({str(saved)!r})"], check=True)
        arguments = case.arguments or (str(saved), "--preprocess", "tf")
        command = [sys.executable, "-m", "edgefeat", "export", *arguments, "-o", str(folder / "out.edgefeat")]
        done = sampled([*command, "--calibration", str(photos), "--json"])
        if done.status != 0:
            raise RuntimeError(f"{name}: {done.last_words}")
        steps = json.loads(done.output)["steps"]
        seconds, peak = 0.0, 0
        if case.build is not None:
            stock = sampled(
                [sys.executable, "-m", "tests.export.tables.stock_conversion", str(saved), str(photos), str(folder)]
            )
            if stock.status != 0:
                raise RuntimeError(f"{name}, stock tools: {stock.last_words}")
            seconds, peak = stock.seconds, stock.peak_bytes
    longest = max(steps, key=lambda step: float(step["seconds"]))
    largest = max(steps, key=lambda step: int(step["peak_bytes"]))
    return Row(name, done.seconds, done.peak_bytes, seconds, peak, longest["step"], largest["step"])


def table(rows: dict[str, Row]) -> str:
    """Return the rows as Markdown."""
    lines = [
        "| network | seconds | stock tools | ratio | peak GB | stock tools | ratio | longest step | largest step |",
        "|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for name, case in CASES.items():
        if name not in rows:
            continue
        one = rows[name]
        time = (one.seconds, one.stock_seconds, "{:.0f}")
        memory = (one.peak_bytes / 1e9, one.stock_peak_bytes / 1e9, "{:.1f}")
        cells = [case.title]
        for ours, stock, form in (time, memory):
            cells += [form.format(ours), form.format(stock) if stock else "", f"{ours / stock:.2f}" if stock else ""]
        lines.append(f"| {' | '.join([*cells, one.longest, one.largest])} |")
    return "\n".join(lines)


def main() -> int:
    """Run what is not yet done and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of 100 photos to calibrate on")
    parser.add_argument("--names", default=",".join(CASES), help="comma-separated; default: all")
    parser.add_argument("--again", action="store_true", help="run the networks that already have a row, too")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "export-cost.jsonl")
    given = parser.parse_args()
    rows = {one.name: one for one in read(given.results, Row)}
    for name in given.names.split(","):
        if name not in CASES:
            parser.error(f"{name!r}: allowed are {', '.join(CASES)}")
        if name in rows and not given.again:
            continue
        rows[name] = row(name, CASES[name], given.photos)
        append(given.results, rows[name])
        print(table({name: rows[name]}).splitlines()[-1], flush=True)
    write_between(PAGE, BEGIN, END, table(rows))
    print(f"{len(rows)} rows in {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
