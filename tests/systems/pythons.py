"""The device side on every Python here, with the oldest packages allowed and the newest: `make test-python`.

`python tests/systems/pythons.py WHEEL [PYTHON...]` makes an environment for each Python (3.11 to 3.14; those on this
machine, else one that uv gets) and each end of the bounds, installs the wheel with both engines, verifies the bundles
of `tests/data` and runs `tests/runtime`. A Python that cannot be had is a row with the reason. Exit status 1 where a
row failed, 3 where none could be run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = ("lowest-direct", "highest")
#: What the tests are run with, in the versions of their day.
TESTING = ("pytest>=8", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "hypothesis>=6.100")
NAMES = ("numpy", "pillow", "click", "tqdm", "ai-edge-litert", "onnxruntime")
PASSED, FAILED, ABSENT = "passed", "failed", "absent"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one Python with one end of the bounds."""

    python: str
    resolution: str
    status: str
    detail: str
    versions: str = ""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout, its output caught as text."""
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the uv of this Python."""
    return run(sys.executable, "-m", "uv", *arguments)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode}"


def bounds() -> list[str]:
    """Return the requirements of the device side: named directly, they are what the lowest versions are taken of."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["litert"], *extras["onnx"]]


def environment(python: str, resolution: str, wheel: Path) -> Path | Row:
    """Return the folder of the environment, or the row that says why there is none."""
    folder = REPOSITORY / "build" / "pythons" / f"{python}-{resolution}"
    shutil.rmtree(folder, ignore_errors=True)
    made = uv("venv", "--quiet", "--seed", "--python", python, folder)  # edgefeat pack needs pip
    if made.returncode != 0:
        first = next((line for line in made.stderr.splitlines() if line.strip()), "uv failed")
        return Row(python, resolution, ABSENT, f"no Python {python} here, and uv cannot get one: {first.strip()}")
    target = ("--python", folder / "bin" / "python", "--quiet")
    wanted = (f"edgefeat[litert,onnx] @ {wheel.resolve().as_uri()}", *bounds())
    for arguments in (("--only-binary", ":all:", "--resolution", resolution, *wanted), TESTING):
        done = uv("pip", "install", *target, *arguments)
        if done.returncode != 0:
            return Row(python, resolution, FAILED, " ".join(done.stderr.split()))
    return folder


def tried(python: str, resolution: str, wheel: Path) -> Row:
    """Verify and test in an environment made for it."""
    folder = environment(python, resolution, wheel)
    if isinstance(folder, Row):
        return folder
    listed = json.loads(uv("pip", "list", "--format", "json", "--python", folder / "bin" / "python").stdout)
    versions = ", ".join(f"{one['name']} {one['version']}" for one in listed if one["name"] in NAMES)
    bundles = sorted((REPOSITORY / "tests" / "data").glob("*.edgefeat"))
    for bundle in bundles:
        done = run(folder / "bin" / "edgefeat", "verify", bundle)
        if done.returncode != 0:
            return Row(python, resolution, FAILED, f"verify {bundle.name}: {_last_line(done)}", versions)
    parallel = ("--numprocesses", "auto", "--dist", "loadfile")
    done = run(folder / "bin" / "python", "-m", "pytest", "-q", *parallel, "-p", "no:cacheprovider", "tests/runtime")
    status = PASSED if done.returncode == 0 else FAILED
    if status == FAILED:
        print(done.stdout, file=sys.stderr)
    return Row(python, resolution, status, f"verify; tests/runtime: {_last_line(done)}", versions)


def main(arguments: Sequence[str]) -> int:
    """Print a row for each Python and each end of the bounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("pythons", nargs="*", default=PYTHONS)
    parser.add_argument("--resolution", action="append", choices=RESOLUTIONS)
    given = parser.parse_args(arguments)
    rows = []
    for python in given.pythons:
        for resolution in given.resolution or RESOLUTIONS:
            row = tried(python, resolution, given.wheel)
            rows.append(row)
            print(f"Python {row.python}, {row.resolution}: {row.status}: {row.detail}  [{row.versions}]", flush=True)
    if all(row.status == ABSENT for row in rows):
        return 3
    return 1 if any(row.status == FAILED for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
