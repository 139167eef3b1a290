"""Count the ARM instructions from a camera frame to its feature: python -m tests.arm.counting.frames BUNDLE

For each frame and variant of the bundle, on the processors of a Raspberry Pi 4 and 5, one thread, in millions:

    file      the file that takes the frame
    Python    OpenCV's colour conversion and rotation, edgefeat's resize (Pillow), and the plain file
    OpenCV    OpenCV's colour conversion, INTER_AREA resize and rotation, and the plain file
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.arm.boards import BOARDS, SYSTEMS, Board
from tests.arm.checks import CHECKOUT
from tests.arm.counting.plugin import counting_qemu
from tests.arm.machine import EMULATOR, Machine, arm_machine, pip_install, project_wheel, x86_machine
from tests.arm.packages import ArmError

_HERE = Path(__file__).parent
_STAGES = ("file", "python", "opencv")


def main() -> int:
    """Print a table in Markdown."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m tests.arm.counting.frames", description=__doc__, formatter_class=form)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".arm", metavar="FOLDER", help="what is kept")
    given = parser.parse_args()
    work, bundle = given.work.resolve(), given.bundle.resolve()
    work.mkdir(parents=True, exist_ok=True)
    variants = json.loads((bundle / "manifest.json").read_text())["variants"]
    names = [one["name"] for one in variants if one.get("frame") and one["precision"] != "integer"]
    try:
        _count(bundle, names, work)
    except ArmError as error:
        print(f"tests.arm.counting.frames: {error}", file=sys.stderr)
        return 1
    return 0


def _count(bundle: Path, names: list[str], work: Path) -> None:
    (system,) = [one for one in SYSTEMS if one.key == "bookworm"]
    wheel = project_wheel(CHECKOUT, work)
    emulator, plugin = counting_qemu(work)
    x86 = x86_machine(system, work=work, wheel=wheel)
    machine = arm_machine(system, x86=x86, work=work, wheel=wheel)
    pip_install(machine, ["opencv-python-headless>=4.10"], work)
    print("| processor | file | frame to feature | Python | OpenCV | to Python | to OpenCV |", flush=True)
    print("|---|---|--:|--:|--:|--:|--:|", flush=True)
    with tempfile.TemporaryDirectory(dir=work, prefix="count-") as folder:
        for board in [one for one in BOARDS if one.key in ("pi4", "pi5")]:
            for name in names:
                counts = _counted(machine, board, {"bundle": str(bundle), "variant": name}, (emulator, plugin), folder)
                file, python, opencv = (counts[stage] / 1e6 for stage in _STAGES)
                ratios = f"{file / python:.2f}x | {file / opencv:.2f}x"
                figures = f"{file:.1f} | {python:.1f} | {opencv:.1f} | {ratios}"
                print(f"| {board.cpu} | `{name}` | {figures} |", flush=True)


def _counted(
    machine: Machine, board: Board, task: dict[str, Any], emulator: tuple[Path, Path], folder: str
) -> dict[str, int]:
    marks = Path(folder) / "marks"
    program, plugin = emulator
    environment = {
        EMULATOR: str(program), "QEMU_PLUGIN": f"file={plugin},out={marks}", "QEMU_RAND_SEED": "1",
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "EDGEFEAT_CACHE": folder,
    }  # fmt: skip
    task = {**task, "kind": "frame", "turns": 2}
    told = machine.run([_HERE / "marking.py", json.dumps(task)], board=board, environment=environment)
    if told.returncode:
        raise ArmError(f"{task['variant']} cannot be counted on {board.key}: {told.stderr.strip()[-2000:]}")
    at = {int(label): int(count) for label, count in (line.split() for line in marks.read_text().splitlines())}
    labels: dict[str, int] = json.loads(told.stdout.splitlines()[-1])
    return {stage: (at[label + 1] - at[label]) // task["turns"] for stage, label in labels.items()}


if __name__ == "__main__":
    sys.exit(main())
