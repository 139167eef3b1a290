"""Every backbone as every variant, held against Keras: `make matrix` (hours; NETS=mobilenet,resnet50 picks).

Random weights with batch norms fitted to pictures, at the smallest sensible size. A cell is a backbone and a variant;
each goes to `results/matrix.jsonl` when it is done and is not done again: the run can be interrupted and resumed.
Model files are deleted once they are scored. The exit status is 1 where a cell failed or a float one is not faithful.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edgefeat import VARIANTS, EdgefeatError
from edgefeat._commands.cli.options import echo_table
from edgefeat_export._pipeline.ladder import CORRECTED
from edgefeat_export._pipeline.processes import run_step
from edgefeat_export._pipeline.steps import NEEDS, ordered
from edgefeat_export._quantize.correction.record import PIECES
from edgefeat_export._quantize.fidelity import measure_variant
from edgefeat_export._quantize.rung import Rung
from edgefeat_export._spec import NetworkSpec
from edgefeat_export._workspace import Workspace

SIZE = 96
# At 96 its last map is a single pixel: batch norms fitted to so few values make noise of everything.
SIZES = {"inception_v3": 128}
# The largest first would leave a small machine with nothing for hours.
LIST = "from edgefeat_export._models.backbones import backbones; print(*(b.name for b in backbones()), sep='\\n')"


@dataclass(frozen=True, slots=True)
class Cell:
    """One backbone as one variant: what came of it."""

    backbone: str
    variant: str
    ok: bool
    note: str
    megabytes: float
    mean_cosine: float
    minimum_cosine: float
    seconds: float


def main() -> int:
    """Runs what is not yet done and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", default="", help="comma-separated names; all of them without")
    parser.add_argument("--photos", default="synthetic", help="folder of photos to fit and check on")
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    file = arguments.results / "matrix.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    names = [name for name in arguments.nets.split(",") if name] or all_backbones()
    done = {(cell.backbone, cell.variant): cell for cell in read(file)}
    for name in names:
        todo = [variant for variant in VARIANTS if (name, variant) not in done]
        for cell in cells(name, todo, arguments.photos, arguments.results / f"matrix-{name}") if todo else ():
            done[name, cell.variant] = cell
            with file.open("a") as stream:
                stream.write(json.dumps(asdict(cell)) + "\n")
            print(*row(cell), flush=True)
    table = [cell for cell in done.values() if cell.backbone in names]
    echo_table(
        ("backbone", "variant", "ok", "MB", "mean cosine", "minimum", "seconds", ""), [row(cell) for cell in table]
    )
    bad = [cell for cell in table if not cell.ok]
    print(f"{len(table) - len(bad)} cells passed, {len(bad)} failed")
    return 1 if bad else 0


def all_backbones() -> list[str]:
    """Every backbone's name; in another process, since Keras stays in memory."""
    listed = subprocess.run([sys.executable, "-c", LIST], check=True, capture_output=True, text=True)
    return listed.stdout.split()


def read(file: Path) -> Iterator[Cell]:
    """The cells of an earlier run; one cut off in the middle of a line is done again."""
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            yield Cell(**json.loads(line))
        except (ValueError, TypeError):
            print(f"left out of {file}: {line!r}", file=sys.stderr)


def cells(
    name: str, variants: list[str], photos: str, folder: Path, pieces: tuple[str, ...] = PIECES
) -> Iterator[Cell]:
    """Each variant of the backbone as it is done, int8 corrected by `pieces`.

    A step that fails fails the variants that need it, and no others.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    work = Workspace(folder)
    work.write_spec(spec(name, photos))
    Rung((), pieces).write(work)
    failed: dict[str, str] = {}
    try:
        for step in steps(variants):
            started = time.perf_counter()
            broken = next((need for need in needs(step) if need in failed), None)
            try:
                if broken is not None:
                    raise EdgefeatError(f"{broken}: {failed[broken]}")
                run_step(work, step)
                found = scored(work, name, step, started) if step in variants else None
            except EdgefeatError as error:
                failed[step] = str(error)
                found = Cell(name, step, False, str(error), 0, 0, 0, time.perf_counter() - started)
            if found is not None and step in variants:
                yield found
    finally:
        shutil.rmtree(folder)


def steps(variants: list[str]) -> list[str]:
    """The float variants' steps, then those of int8: as it comes, with no layer left in float."""
    int8 = [variant for variant in variants if variant.endswith("-int8")]
    return [*ordered([*variants, *(["onnx-float32"] if int8 else [])]), *([CORRECTED] if int8 else []), *int8]


def needs(step: str) -> tuple[str, ...]:
    """What must have been made before the step."""
    return NEEDS.get(step, ("onnx-float32",) if step == CORRECTED else (CORRECTED,))


def scored(work: Workspace, name: str, variant: str, started: float) -> Cell:
    """The cell of a variant that was made. Raises ExportError where a float one is not faithful."""
    seconds = time.perf_counter() - started
    (fidelity,) = measure_variant(work, variant).fidelity.values()
    size = work.model(variant).stat().st_size / 1e6
    return Cell(name, variant, True, "", size, fidelity.mean_cosine, fidelity.minimum_cosine, seconds)


def spec(name: str, photos: str) -> NetworkSpec:
    """A backbone with random weights, pooled and normalized."""
    return NetworkSpec(
        backbone=name,
        weights="random",
        size=(SIZES.get(name, SIZE),) * 2,
        calibration=photos,
    )


def row(cell: Cell) -> tuple[str, ...]:
    """The cell as text."""
    figures = (f"{cell.megabytes:.1f}", f"{cell.mean_cosine:.5f}", f"{cell.minimum_cosine:.5f}", f"{cell.seconds:.0f}")
    return (cell.backbone, cell.variant, "ok" if cell.ok else "FAILED", *figures, cell.note)


if __name__ == "__main__":
    sys.exit(main())
