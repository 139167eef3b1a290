"""Arm's compiler for Ethos-U, Vela, in its own process, and what it reports."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefeat import ExportError, MissingExtraError
from edgefeat._version import install_command

__all__ = ["TARGETS", "Compiled", "Fallback", "VelaOptions", "compile_file"]

#: The configurations of Ethos-U, in Vela's names: a series and multiply-accumulates in each cycle.
TARGETS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)

_TIMEOUT = 900.0
_WARNING = re.compile(r"^Warning \(supported operators\) operator: (\S+), ofm: '(.*)'$")
_COUNT = re.compile(r"^(CPU|NPU) operators = (\d+)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class VelaOptions:
    """The options of the system around the NPU, as Vela names them; None leaves Vela's default."""

    config: str | None = None
    system_config: str | None = None
    memory_mode: str | None = None

    def arguments(self) -> Iterator[str]:
        """Yield the command-line arguments."""
        for name, value in (
            ("--config", self.config),
            ("--system-config", self.system_config),
            ("--memory-mode", self.memory_mode),
        ):
            if value is not None:
                yield from (name, value)


@dataclass(frozen=True, slots=True)
class Fallback:
    """An operator that the NPU does not run, the tensor that it makes, and why."""

    operator: str
    result: str
    reason: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled file and Vela's estimate for one image; nothing was run.

    `npu` and `cpu` count operators as Vela does, after its own rewriting. `cycles` are those of the NPU with its
    memory, at `clock_mhz`. Bytes of `sram` and `dram` hold feature maps, those of `flash` weights and commands, where
    the system of the configuration has such a memory.
    """

    target: str
    vela: str
    system_config: str
    memory_mode: str
    npu: int
    cpu: int
    fallbacks: tuple[Fallback, ...]
    macs: int
    cycles: int
    clock_mhz: float
    milliseconds: float
    sram: int
    dram: int
    flash: int
    size: int

    @property
    def share(self) -> float:
        """The share of operators on the NPU."""
        return self.npu / max(self.npu + self.cpu, 1)


def compile_file(model: bytes, target: str, options: VelaOptions) -> tuple[Compiled, bytes]:
    """Return Vela's report on a TFLite file for a target, and the compiled file.

    Raises MissingExtraError without Vela, and ExportError with its message if it refuses the file or an option.
    """
    if importlib.util.find_spec("ethosu") is None:
        raise MissingExtraError(f"Vela is not installed; install it with: {install_command('npu')}")
    with tempfile.TemporaryDirectory(prefix="edgefeat-npu-") as scratch:
        source, folder = Path(scratch) / "model.tflite", Path(scratch) / "out"
        source.write_bytes(model)
        command = [sys.executable, "-P", "-m", "ethosu.vela", str(source), "--accelerator-config", target]
        output = _run([*command, "--output-dir", str(folder), *options.arguments()])
        reports = sorted(folder.glob("*_summary_*.csv"))
        made = folder / "model_vela.tflite"
        if not reports or not made.exists():
            raise ExportError(f"Vela wrote no report for {target}: {_last(output)}")
        with reports[0].open(newline="") as stream:
            row = next(csv.DictReader(stream))
        content = made.read_bytes()
    return _compiled(target, output, row, len(content)), content


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"Vela did not finish within {_TIMEOUT:.0f} s") from None
    if done.returncode != 0:
        raise ExportError(f"Vela refused the file (exit status {done.returncode}): {_last(done.stderr or done.stdout)}")
    return done.stdout


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _compiled(target: str, output: str, row: dict[str, str], size: int) -> Compiled:
    counts = {name: int(count) for name, count in _COUNT.findall(output)}
    return Compiled(
        target=target,
        vela=importlib.metadata.version("ethos-u-vela"),
        system_config=row["system_config"],
        memory_mode=row["memory_mode"],
        npu=counts.get("NPU", 0),
        cpu=counts.get("CPU", 0),
        fallbacks=tuple(_fallbacks(output)),
        macs=int(row["nn_macs"]),
        cycles=int(row["cycles_total"]),
        clock_mhz=float(row["core_clock"]) / 1e6,
        milliseconds=float(row["inference_time"]) * 1e3,
        sram=_bytes(row["sram_memory_used"]),
        dram=_bytes(row["dram_memory_used"]),
        flash=_bytes(row["on_chip_flash_memory_used"]) + _bytes(row["off_chip_flash_memory_used"]),
        size=size,
    )


def _bytes(kibibytes: str) -> int:
    return round(float(kibibytes) * 1024)


def _fallbacks(output: str) -> Iterator[Fallback]:
    """Yield the operators that Vela leaves to the CPU, with the reason that it prints below each."""
    lines = output.splitlines()
    for index, line in enumerate(lines):
        match = _WARNING.match(line)
        if match is None:
            continue
        reason = []
        for following in lines[index + 1 :]:
            if not following.strip():
                break
            reason.append(following.strip().removeprefix("Reason: "))
        yield Fallback(match[1], match[2], "; ".join(reason) or "Vela gives no reason")
