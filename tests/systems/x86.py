"""The features of older x86 processors, emulated, beside this machine's: `make test-x86 [BUNDLES="a.edgefeat"]`.

`python -m tests.systems.x86 BUNDLE...` runs `edgefeat verify` with the engines of this environment on each processor of
`PROCESSORS`, by QEMU's user mode, the processes that it starts included. Then it compares each engine's features of the
bundle's golden pictures with those of the same engine on this machine's own processor: engines round int8 differently,
so the golden features, which one engine made, are no measure for another. Exit status 1 where features differ by more
than the processor's instructions explain, where `verify` finds them off, or where an engine ends the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.arm.machine import qemu

from edgefeat._bundle.fidelity import cosines

REPOSITORY = Path(__file__).parents[2]
WORK = REPOSITORY / ".arm"
#: Started with a script in the place of the interpreter, so that what it starts is emulated too.
_VERIFY = """
import runpy, sys
sys.executable = sys.argv[1]
sys.argv = ["edgefeat", *sys.argv[2:]]
runpy.run_module("edgefeat", run_name="__main__")
"""
# Features of the golden pictures, as (pictures, numbers of every tap).
_FEATURES = """
import sys
sys.executable, bundle, variant, engine, output = sys.argv[1:]
import numpy as np
import edgefeat
from edgefeat._bundle.golden import read_golden
from edgefeat._images.frames.pixels import frame_of
pictures = read_golden(edgefeat.Bundle.open(bundle)).pictures
extractor = edgefeat.load(bundle, variant=variant, engine=engine)
if (form := extractor.frame) is not None:
    pictures = [frame_of(picture, form) for picture in pictures]
rows = [extractor.run(picture[np.newaxis]) for picture in pictures]
np.save(output, np.stack([np.concatenate([tap.ravel() for tap in row]) for row in rows]))
"""


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor by QEMU's name, and the lowest cosine that its instructions explain."""

    name: str
    lacks: str
    lowest: float


PROCESSORS = (
    Processor("Haswell", "VNNI: int8 products are added in 16 bits", 0.9999),
    Processor("Nehalem", "AVX: kernels of SSE4.2", 0.999),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one file on one processor; `cosine` is the lowest to the features of this machine's processor."""

    processor: str
    bundle: str
    variant: str
    engine: str
    status: str
    cosine: float | None


def emulated_python(processor: Processor, folder: Path) -> Path:
    """Return a script that runs this environment's Python on the processor."""
    own = Path(sys.executable)
    script = folder / f"python-{processor.name}"
    emulator = qemu(WORK, "x86_64")
    # QEMU takes the name from -0, by which Python finds its environment.
    script.write_text(
        f'#!/bin/sh\nexec "{emulator}" -cpu {processor.name} -0 "{own.absolute()}" "{own.resolve()}" "$@"\n'
    )
    script.chmod(0o755)
    return script


def environment() -> dict[str, str]:
    """Return this process's environment without what names kernels of this machine's processor."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}


def verified(processor: Processor, python: Path, bundle: Path, folder: Path) -> list[Row]:
    """Return a row for each file and engine; one that says why where the program ended without any."""
    done = _run(python, _VERIFY, "verify", bundle, "--json")
    if not done.stdout.startswith("{"):
        return [Row(processor.name, bundle.name, "", "", f"the program ended: {_last_words(done)}", None)]
    return [_row(processor, python, bundle, check, folder) for check in json.loads(done.stdout)["checks"]]


def _row(processor: Processor, python: Path, bundle: Path, check: dict[str, Any], folder: Path) -> Row:
    variant, engine, status = check["variant"], check["engine"], check["status"]
    here, there = folder / "here.npy", folder / "there.npy"
    cosine = None
    if status == "ok":
        for interpreter, output in ((Path(sys.executable), here), (python, there)):
            done = _run(interpreter, _FEATURES, bundle, variant, engine, output)
            if done.returncode != 0:
                status = f"the program ended: {_last_words(done)}"
                break
        else:
            cosine = float(cosines(np.load(here), np.load(there)).min())
    return Row(processor.name, bundle.name, variant, engine, status, cosine)


def _run(python: Path, code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-c", code, python, *arguments], capture_output=True, text=True, check=False, env=environment()
    )


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    words = [line for line in done.stderr.splitlines() if line and "TCG doesn't support" not in line]
    return words[-1] if words else f"exit status {done.returncode}"


def main(arguments: Sequence[str]) -> int:
    """Print a row for each processor, bundle, file and engine."""
    bundles = [Path(one).resolve() for one in arguments] or sorted((REPOSITORY / "tests" / "data").glob("*.edgefeat"))
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        for processor in PROCESSORS:
            print(f"{processor.name}, without {processor.lacks}; the lowest cosine allowed is {processor.lowest}")
            python = emulated_python(processor, Path(folder))
            for bundle in bundles:
                for row in verified(processor, python, bundle, Path(folder)):
                    good = row.cosine is not None and row.cosine >= processor.lowest
                    wrong += not good
                    figure = "-" if row.cosine is None else f"{row.cosine:.6f}"
                    mark = "" if good else "  <- WRONG"
                    print(f"  {row.bundle:24}{row.variant:32}{row.engine:16}{figure:10}{row.status}{mark}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
