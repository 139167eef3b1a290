"""The features of older x86 processors, emulated, beside this machine's: `make test-x86 [BUNDLES="a.edgefeat"]`.

`python -m tests.systems.x86 BUNDLE...` runs `edgefeat verify` with the engines of this environment on each processor of
`PROCESSORS`, by QEMU's user mode, the processes that it starts included. Exit status 1 where features differ by more
than the processor's instructions explain or an engine ends the program.
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

from tests.arm.machine import qemu

REPOSITORY = Path(__file__).parents[2]
WORK = REPOSITORY / ".arm"
#: Started with a script in the place of the interpreter, so that what it starts is emulated too.
_RUN = """
import runpy, sys
sys.executable = sys.argv[1]
sys.argv = ["edgefeat", *sys.argv[2:]]
runpy.run_module("edgefeat", run_name="__main__")
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
    """What came of one file on one processor."""

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


def verified(processor: Processor, python: Path, bundle: Path) -> list[Row]:
    """Return a row for each file and engine; one that says why where the program ended without any."""
    done = subprocess.run(
        [python, "-c", _RUN, python, "verify", bundle, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if not done.stdout.startswith("{"):
        words = [line for line in done.stderr.splitlines() if line and "TCG doesn't support" not in line]
        why = words[-1] if words else f"exit status {done.returncode}"
        return [Row(processor.name, bundle.name, "", "", f"the program ended: {why}", None)]
    return [
        Row(processor.name, bundle.name, check["variant"], check["engine"], check["status"], check["cosine"])
        for check in json.loads(done.stdout)["checks"]
    ]


def main(arguments: Sequence[str]) -> int:
    """Print a row for each processor, bundle, file and engine."""
    bundles = [Path(one).resolve() for one in arguments] or sorted((REPOSITORY / "tests" / "data").glob("*.edgefeat"))
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="edgefeat-") as folder:
        for processor in PROCESSORS:
            print(f"{processor.name}, without {processor.lacks}; the lowest cosine allowed is {processor.lowest}")
            python = emulated_python(processor, Path(folder))
            for bundle in bundles:
                for row in verified(processor, python, bundle):
                    good = row.cosine is not None and row.cosine >= processor.lowest
                    wrong += not good
                    figure = "-" if row.cosine is None else f"{row.cosine:.6f}"
                    mark = "" if good else "  <- WRONG"
                    print(f"  {row.bundle:28}{row.variant:16}{row.engine:16}{figure:10}{row.status}{mark}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
