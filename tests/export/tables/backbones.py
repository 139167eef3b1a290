"""Every named backbone exported whole by the command line, for docs/backbones.md: `make backbones` (hours; resumes).

`python -m tests.export.tables.backbones [--names a,b] [--size default|small|both] [--photos FOLDER]` runs `edgefeat
export NAME --weights random` with the default variants, samples the memory of all its processes together, and verifies
what came out. A row goes to `results/backbones.jsonl` when it is done and is not done again. The exit status is 1 where
an export or its verification failed; a variant that missed its gate is no failure, and the table names it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.export.tables.runs.rows import append, read, write_between
from tests.export.tables.runs.sampled import sampled

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "backbones.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
VARIANTS = ("tflite-float32", "onnx-float32", "tflite-float16", "tflite-int8", "onnx-int8", "tflite-dynamic")
#: The smallest useful input where it is not 64: what keras.applications allows, or where the last map has some pixels.
SMALLEST = {"inception_v3": 128, "inception_resnet_v2": 128, "xception": 96, "alexnet": 96}
SMALL = 64
# In a process of its own: Keras stays in memory.
_LIST = "from edgefeat_export._models.backbones import backbones; print(*(one.name for one in backbones()), sep='\\n')"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one backbone at one size. `refused` has the reason of each variant that was left out.

    `slower` names the int8 files that took longer than float here.
    """

    backbone: str
    size: str
    ok: bool
    note: str
    parameters: int
    seconds: float
    peak_bytes: int
    cosines: dict[str, float]
    refused: dict[str, str]
    slower: list[str]


def names() -> list[str]:
    """Return every backbone's name."""
    return subprocess.run([sys.executable, "-c", _LIST], check=True, capture_output=True, text=True).stdout.split()


def smallest(name: str) -> int:
    """Return the side in pixels of a backbone's smallest useful input."""
    return SMALLEST.get(name, SMALL)


def exported(rows: Iterable[tuple[str, str]], name: str, small: bool) -> bool:
    """Whether a row (backbone, size) is at the smallest input of this backbone, or without `small` at its own."""
    size = f"{smallest(name)}x{smallest(name)}"
    return any(backbone == name and (at == size) == small for backbone, at in rows)


def parameters(name: str, size: int | None) -> int:
    """Return the number of parameters up to the cut, as `edgefeat layers` counts them."""
    command = [sys.executable, "-m", "edgefeat", "layers", name, "--json"]
    command += ["--input-size", str(size)] if size else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return 0
    layers: list[dict[str, Any]] = json.loads(done.stdout)["layers"]
    return max(int(layer["cumulative_parameters"]) for layer in layers if not layer["top"])


def row(name: str, size: int | None, photos: str | None) -> Row:
    """Export and verify one backbone."""
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        bundle = Path(folder) / "out.edgefeat"
        command = [sys.executable, "-m", "edgefeat", "export", name, "--weights", "random", "-o", str(bundle)]
        command += ["--input-size", str(size)] if size else []
        command += ["--calibration", photos] if photos else []
        done = sampled(command)
        if done.status != 0:
            return Row(name, str(size or "own"), False, done.last_words, 0, done.seconds, done.peak_bytes, {}, {}, [])
        manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        form = manifest["picture"]
        verified = sampled([sys.executable, "-m", "edgefeat", "verify", str(bundle)])
        cosines = {
            one["name"]: min(figures["mean_cosine"] for figures in one["fidelity"].values())
            for one in manifest["variants"]
        }
        refused = {one["name"]: one["reason"] for one in manifest["refusals"]}
        shutil.rmtree(bundle)
    return Row(
        backbone=name,
        size=f"{form['height']}x{form['width']}",
        ok=verified.status == 0,
        note="" if verified.status == 0 else f"verify: {verified.last_words}",
        parameters=parameters(name, size),
        seconds=done.seconds,
        peak_bytes=done.peak_bytes,
        cosines=cosines,
        refused=refused,
        slower=re.findall(r"(\S+) is slower than float here", done.errors),
    )


def cell(one: Row, variant: str) -> str:
    """Return a variant's cosine, with an asterisk where it is slower than float, or why it was not written."""
    if variant in one.cosines:
        return f"{one.cosines[variant]:.5f}{'*' if variant in one.slower else ''}"
    if "slower than float" in (reason := one.refused.get(variant, "")).partition(";")[0]:
        return "slower"
    return "left out" if reason else "-"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    head = ("backbone", "input", "M parameters", "seconds", "peak GB", *VARIANTS)
    lines = [f"| {' | '.join(head)} |", f"|---|---|{'---:|' * (len(head) - 2)}"]
    for one in sorted(rows, key=lambda one: (one.backbone, one.size)):
        figures = (f"{one.parameters / 1e6:.1f}", f"{one.seconds:.0f}", f"{one.peak_bytes / 1e9:.1f}")
        cells = [cell(one, variant) for variant in VARIANTS] if one.ok else [one.note, *[""] * (len(VARIANTS) - 1)]
        lines.append(f"| {' | '.join((f'`{one.backbone}`', one.size, *figures, *cells))} |")
    return "\n".join(lines)


def main() -> int:
    """Run what is not yet done and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", default="", help="comma-separated; every backbone without")
    parser.add_argument("--size", choices=("default", "small", "both"), default="both")
    parser.add_argument("--photos", help="folder of photos to calibrate on; synthetic pictures without")
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "backbones.jsonl")
    given = parser.parse_args()
    rows = {(one.backbone, one.size): one for one in read(given.results, Row) if one.ok}
    chosen = [name for name in given.names.split(",") if name] or names()
    failed = 0
    for small in (True, False):
        if given.size == ("default" if small else "small"):
            continue
        for name in chosen:
            if exported(rows, name, small):
                continue
            one = row(name, smallest(name) if small else None, given.photos)
            failed += not one.ok
            rows[one.backbone, one.size] = one
            append(given.results, one)
            print(table([one]).splitlines()[-1], flush=True)
    good = [one for one in rows.values() if one.ok]
    write_between(PAGE, BEGIN, END, table(good))
    print(f"{len(good)} rows in {PAGE}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
