"""Failures that only a board has: an engine that crashes, one that NumPy 2 breaks, and a system without any engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.arm.boards import System
from tests.arm.checks import CHECKOUT, Row, last_line
from tests.arm.machine import EMULATOR, Machine, arm_machine, pip_install, qemu

__all__ = ["bare_rows", "refusal_rows"]

_BUNDLE = CHECKOUT / "tests" / "data" / "one_tap.edgefeat"
# What a Raspberry Pi 5's kernel says of its processor: it has dot products, a Cortex-A53 has none.
_PI5 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
# The last release whose emulator passes that file on, so that a library can be told of instructions that are not there.
_CREDULOUS = "bookworm"


def refusal_rows(machine: Machine, work: Path, here: Path) -> Iterator[Row]:
    """Return rows for engines that are installed but cannot work; a row is good if the message tells the remedy."""
    if machine.system.key == "bookworm":
        yield from _illegal_instruction(machine, work, here)
    if machine.system.key == "bookworm-tflite":
        yield _numpy_2(machine, work, here)


def bare_rows(
    system: System, wanted: Sequence[str], x86: Machine, work: Path, wheel: Path, here: Path
) -> Iterator[Row]:
    """Return rows for 32-bit systems without an engine: one where an engine can be installed, one where none exists."""
    machine = arm_machine(system, x86=x86, work=work, wheel=wheel, testing=False)
    command: list[str | Path] = ["extract", _BUNDLE, here / "photos", "-o", here / "bare.npz"]
    yield _refused(machine, "pi2", "no engine", command, wanted, {"EDGEFEAT_CACHE": str(here / "bare")})


def _illegal_instruction(machine: Machine, work: Path, here: Path) -> Iterator[Row]:
    lied_to = {
        EMULATOR: str(qemu(work, "aarch64", _CREDULOUS)),
        "QEMU_CPU": "cortex-a53",
        "EDGEFEAT_CACHE": str(here / "crashed"),
    }
    command: list[str | Path] = ["extract", _BUNDLE, here / "photos", "-o", here / "crashed.npz"]
    asked_for: list[str | Path] = [*command, "--variant", "tflite-int8", "--engine", "litert"]
    wanted = ("litert", "illegal instruction", "processor")
    lies = machine.root / "proc"  # below the sysroot it stands for the host's, of which nothing else is seen meanwhile
    lies.mkdir(exist_ok=True)
    (lies / "cpuinfo").write_text(_PI5)
    try:
        yield _refused(machine, "pi3", "an engine that dies", asked_for, wanted, lied_to)
        told = machine.run(["-m", "edgefeat", *command], environment=lied_to)
    finally:
        shutil.rmtree(lies)
    detail = last_line(told.stderr) or last_line(told.stdout)
    good = told.returncode == 0 and (here / "crashed.npz").exists()
    yield Row("pi3", machine.system.key, "the next engine in its place", good, detail)


def _numpy_2(machine: Machine, work: Path, here: Path) -> Row:
    folder = work / "numpy-2"
    if not folder.is_dir():
        pip_install(machine, ["--target", str(folder), "numpy>=2"], work)
    environment = {"PYTHONPATH": str(folder), "EDGEFEAT_CACHE": str(here / "numpy-2")}
    command: list[str | Path] = ["extract", _BUNDLE, here / "photos", "-o", here / "numpy-2.npz"]
    return _refused(machine, "pi4", "NumPy 2 with tflite-runtime", command, ("NumPy 2", "'numpy<2'"), environment)


def _refused(
    machine: Machine,
    board: str,
    what: str,
    command: Sequence[str | Path],
    wanted: Sequence[str],
    environment: dict[str, str],
) -> Row:
    """Good if the command fails with one line on standard error that has all of `wanted`."""
    told = machine.run(["-m", "edgefeat", *command], environment=environment)
    # Debian's Pillow is old enough to be warned of, once.
    said = [line for line in told.stderr.splitlines() if line.startswith("edgefeat:")]
    lines = [line for line in said if " Pillow " not in line]
    good = told.returncode == 1 and len(lines) == 1 and all(word in lines[0] for word in wanted)
    return Row(board, machine.system.key, what, good, f"says: {lines[-1] if lines else last_line(told.stderr)}")
