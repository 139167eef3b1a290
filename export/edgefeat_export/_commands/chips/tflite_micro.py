"""TensorFlow Lite Micro's interpreter, and LiteRT's reference kernels to compare it with."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgefeat import ExportError, MissingExtraError
from edgefeat._version import install_command

__all__ = ["MicroRun", "reference_outputs", "run_micro", "version"]

_TIMEOUT = 900.0
#: Bytes of the arena in which the needed size is found.
_AMPLE = 256 << 20
_ALIGNMENT = 16
_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")

Levels = NDArray[np.int8] | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MicroRun:
    """Outputs (N, *shape), int8, in the file's order, and the arena's bytes in which they were computed."""

    arena: int
    outputs: tuple[NDArray[np.int8], ...]


def version() -> str:
    """Return the installed version."""
    return importlib.metadata.version("tflite-micro")


def run_micro(model: bytes, levels: Levels, outputs: int) -> MicroRun:
    """Return what TensorFlow Lite Micro computes from `levels` (N, H, W, 3) in the smallest arena that suffices.

    Raises MissingExtraError without it, and ExportError with its message if it cannot run the file.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise MissingExtraError(
            f"TensorFlow Lite Micro is not installed; install it with: {install_command('micro')} "
            "(its wheels are for Linux on x86-64)"
        )
    with tempfile.TemporaryDirectory(prefix="edgefeat-micro-") as scratch:
        folder = Path(scratch)
        (folder / "model.tflite").write_bytes(model)
        np.save(folder / "none.npy", levels[:0])
        np.save(folder / "levels.npy", levels)
        said = _run(folder, "none.npy", _AMPLE, outputs)
        found = _TOTAL.search(said)
        if found is None:
            raise ExportError("TensorFlow Lite Micro does not say how large an arena the file needs")
        arena = -(-int(found[1]) // _ALIGNMENT) * _ALIGNMENT
        _run(folder, "levels.npy", arena, outputs)
        with np.load(folder / "results.npz") as results:
            return MicroRun(arena, tuple(results[name] for name in results.files))


def _run(folder: Path, inputs: str, arena: int, outputs: int) -> str:
    """Run the file and return what was printed."""
    task = {
        "model": str(folder / "model.tflite"),
        "inputs": str(folder / inputs),
        "results": str(folder / "results.npz"),
        "arena": str(arena),
        "outputs": str(outputs),
    }
    command = [sys.executable, "-P", "-m", "edgefeat_export._commands.chips.micro_process", json.dumps(task)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"TensorFlow Lite Micro did not finish within {_TIMEOUT:.0f} s") from None
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ExportError(
            f"TensorFlow Lite Micro cannot run the file in {arena} bytes of arena: "
            f"{'; '.join(said[-2:]) or f'exit status {done.returncode}'}"
        )
    return done.stdout + done.stderr


def reference_outputs(model: bytes, levels: Levels) -> tuple[NDArray[np.int8], ...]:
    """Return what LiteRT's reference kernels, without XNNPACK, compute: (N, *shape) int8, in the file's order."""
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    details = interpreter.get_output_details()
    rows: list[list[NDArray[np.int8]]] = [[] for _ in details]
    for one in levels:
        interpreter.set_tensor(given["index"], one[np.newaxis])
        interpreter.invoke()
        for row, detail in zip(rows, details, strict=True):
            row.append(interpreter.get_tensor(detail["index"])[0])
    return tuple(np.stack(row) for row in rows)
