"""Count the ARM instructions per image: `make bench-arm`.

    python -m tests.arm.counting [--output FOLDER] [--again] [BUNDLE...]

Writes FOLDER/arm.md and FOLDER/arm.json, by default docs/benchmarks. What is there stays, and is not counted again with
the same version of the engine. Exit status: 0 done, 1 failed.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.arm.boards import BOARDS, SYSTEMS, Board, System
from tests.arm.checks import CHECKOUT, reference_features
from tests.arm.counting.plugin import counting_qemu
from tests.arm.counting.report import Count, Key, read_counts, write_report
from tests.arm.machine import EMULATOR, Machine, arm_machine, project_wheel, x86_machine
from tests.arm.packages import ArmError

_HERE = Path(__file__).parent
_BOARDS = [board for board in BOARDS if board.key in ("pi3", "pi4", "pi5")]
_SYSTEMS = [system for system in SYSTEMS if system.key in ("bookworm", "bookworm-tflite")]
_TFLITE = ("litert", "tflite-runtime")
_PHOTO = "photo.jpg"
_TURNS, _REPEATS = 4, 2
# The options of what is exported where no bundle is given: narrow and full.
_WIDTHS = (("--alpha", "0.35"), ())


@dataclass(frozen=True, slots=True)
class _Stock:
    """The stock converter's files of a bundle's backbone and how they are fed."""

    folder: Path
    preprocessing: str
    size: tuple[int, int]


def main() -> int:
    """Count everything and write the report."""
    given = _arguments()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    try:
        bundles = [path.resolve() for path in given.bundles] or [_exported(width, work) for width in _WIDTHS]
        given.output.mkdir(parents=True, exist_ok=True)
        counts = {count.key: count for count in read_counts(given.output)}
        for count in _counts(bundles, work, frozenset() if given.again else frozenset(counts)):
            counts[count.key] = count
            write_report([*counts.values()], given.output)  # as it goes: hours of counts
    except ArmError as error:
        print(f"tests.arm.counting: {error}", file=sys.stderr)
        return 1
    print(f"{len(counts)} counts are in {given.output / 'arm.md'} and {given.output / 'arm.json'}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.arm.counting", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE", help="in place of MobileNetV2 exported here")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "docs" / "benchmarks", metavar="FOLDER")
    parser.add_argument("--again", action="store_true", help="count what the report has of these bundles, too")
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".arm", metavar="FOLDER", help="what is kept")
    return parser.parse_args()


def _exported(width: Sequence[str], work: Path) -> Path:
    """MobileNetV2 as a bundle; untrained weights take as many instructions as trained ones."""
    bundle = work / f"{'_'.join(['mobilenet_v2', *width[1:], '224'])}.edgefeat"
    if not bundle.is_dir():
        random = ["--weights", "random", "--min-fidelity", "0.5"]
        _host(["-m", "edgefeat", "export", "mobilenet_v2", *width, *random, "-o", bundle])
    return bundle


def _counts(bundles: Sequence[Path], work: Path, known: frozenset[Key]) -> Iterator[Count]:
    """Count what is not `known`, board by board."""
    wheel = project_wheel(CHECKOUT, work)
    emulator, plugin = counting_qemu(work)
    with tempfile.TemporaryDirectory(dir=work, prefix="count-") as folder:
        here = Path(folder)
        for system in _SYSTEMS:
            x86 = x86_machine(system, work=work, wheel=wheel)
            machine = arm_machine(system, x86=x86, work=work, wheel=wheel)
            reference_features(x86, [], here)
            counter = _Counter(machine, emulator, plugin, here, _versions(machine))
            for bundle in bundles:
                stock = _stock(bundle, here)
                for board in _BOARDS:
                    for task in _tasks(system, bundle, stock, here / "photos" / _PHOTO):
                        if counter.key(board, bundle, task) in known:
                            continue
                        count = counter.count(board, bundle, task)
                        print(count.line(), file=sys.stderr, flush=True)
                        yield count


@dataclass(frozen=True, slots=True)
class _Counter:
    machine: Machine
    emulator: Path
    plugin: Path
    here: Path
    versions: dict[str, str]

    def key(self, board: Board, bundle: Path, task: dict[str, Any]) -> Key:
        """What tells this count from others."""
        network = json.loads((bundle / "manifest.json").read_text())["name"]
        contender = "edgefeat" if task["kind"] == "edgefeat" else "plain TensorFlow Lite"
        variant = task.get("variant") or f"{Path(task['model']).stem} of the stock converter"
        return board.key, network, contender, variant, f"{task['engine']} {self.versions[task['engine']]}"

    def count(self, board: Board, bundle: Path, task: dict[str, Any]) -> Count:
        """The first count of each stage, and by how much the others differ from it."""
        with ThreadPoolExecutor(_REPEATS) as pool:  # another process at the same time changes no count
            first, *others = pool.map(functools.partial(self._run, board, task), range(_REPEATS))
        spread = max(abs(other[stage] / first[stage] - 1) for other in others for stage in first)
        key, network, contender, variant, engine = self.key(board, bundle, task)
        return Count(
            board=key,
            processor=board.cpu,
            network=network,
            contender=contender,
            variant=variant,
            engine=engine,
            decode=first["decode"],
            resize=first["resize"],
            inference=first["inference"],
            spread=spread,
            photo_bytes=Path(task["photo"]).stat().st_size,
        )

    def _run(self, board: Board, task: dict[str, Any], repeat: int) -> dict[str, int]:
        marks = self.here / f"marks-{repeat}"
        # OpenBLAS and OpenMP would spin in threads of their own; hashes would differ from run to run.
        environment = {
            EMULATOR: str(self.emulator), "QEMU_PLUGIN": f"file={self.plugin},out={marks}", "QEMU_RAND_SEED": "1",
            "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0",
            "EDGEFEAT_CACHE": str(self.here / f"cache-{self.machine.system.key}-{board.key}-{repeat}"),
        }  # fmt: skip
        told = self.machine.run([_HERE / "marking.py", json.dumps(task)], board=board, environment=environment)
        if told.returncode:
            raise ArmError(f"{task['engine']} cannot be counted on {board.key}: {told.stderr.strip()[-2000:]}")
        at = {int(label): int(count) for label, count in (line.split() for line in marks.read_text().splitlines())}
        labels: dict[str, int] = json.loads(told.stdout.splitlines()[-1])
        return {stage: (at[label + 1] - at[label]) // task["turns"] for stage, label in labels.items()}


def _versions(machine: Machine) -> dict[str, str]:
    """The engines that are installed there."""
    told = machine.run(["-m", "edgefeat", "info", "--json"])
    found: dict[str, str | None] = json.loads(told.stdout)["engines"]
    return {name: version for name, version in found.items() if version}


def _tasks(system: System, bundle: Path, stock: _Stock | None, photo: Path) -> Iterator[dict[str, Any]]:
    common = {"photo": str(photo), "turns": _TURNS}
    manifest = json.loads((bundle / "manifest.json").read_text())
    for engine in system.engines:
        wanted = "tflite" if engine in _TFLITE else "onnx"
        for variant in manifest["variants"]:
            if variant["format"] == wanted:
                name = f"{wanted}-{variant['precision']}"
                yield {**common, "kind": "edgefeat", "bundle": str(bundle), "variant": name, "engine": engine}
        if stock is not None and engine in _TFLITE:
            for precision in ("float32", "int8"):
                model = str(stock.folder / f"{precision}.tflite")
                yield {**common, "kind": "plain", "model": model, "engine": engine,
                       "preprocessing": stock.preprocessing, "size": stock.size}  # fmt: skip


def _stock(bundle: Path, here: Path) -> _Stock | None:
    """Return the stock converter's files, or None if keras.applications does not have the network."""
    folder = here / f"stock-{bundle.name}"
    if not folder.is_dir():
        folder.mkdir()
        try:
            told = _host(["-m", "tests.arm.counting.stock", bundle, folder])
        except ArmError as error:
            print(f"no plain contender for {bundle.name}: {error}", file=sys.stderr)
            return None
        (folder / "about.json").write_text(told.splitlines()[-1])
    if not (folder / "about.json").exists():
        return None
    about = json.loads((folder / "about.json").read_text())
    return _Stock(folder, about["preprocessing"], about["size"])


def _host(arguments: Sequence[str | Path]) -> str:
    """This process's own Python, which has TensorFlow."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=CHECKOUT, env={**os.environ}, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ArmError(f"{' '.join(map(str, arguments))}: {done.stderr.strip()[-1000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
