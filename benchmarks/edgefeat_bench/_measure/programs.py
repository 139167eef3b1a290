"""Whole programs, timed from their start to their end with the memory they and their children held."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from edgefeat import EdgefeatError
from edgefeat._engines.engine import ENGINES
from edgefeat._engines.selection import candidates
from edgefeat_bench._contenders.model_files import KERAS_MODEL, ONNX_MODEL, TFLITE_MODEL
from edgefeat_bench._processes import child_environment
from edgefeat_bench._records import Side
from edgefeat_bench._setup.setup import Setup

__all__ = ["Program", "edgefeat_program", "programs", "run_program"]

_SCRIPTS = Path(__file__).parents[1] / "_scripts"
_LOOK_SECONDS = 0.05
_LIMIT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program by name: `command` gives its arguments for pictures and an output, `distributions` what it needs."""

    name: str
    side: Side
    distributions: tuple[str, ...]
    command: Callable[[str, Path], list[str]]


@dataclass(frozen=True, slots=True)
class _Script:
    name: str
    side: Side
    file: str
    modules: tuple[str, ...]
    distributions: tuple[str, ...]
    model: str


_ONE = (
    _Script("keras script", "tensorflow", "keras_one", ("keras", "tensorflow"), ("tensorflow", "pillow"), KERAS_MODEL),
    _Script(
        *("onnxruntime and Pillow script", "peer", "onnxruntime_one", ("onnxruntime",)),
        *(("onnxruntime", "pillow", "numpy"), ONNX_MODEL),
    ),
    _Script(
        *("litert and Pillow script", "peer", "litert_one", ("ai_edge_litert",)),
        *(("ai-edge-litert", "pillow", "numpy"), TFLITE_MODEL),
    ),
    _Script("mediapipe script", "peer", "mediapipe_one", ("mediapipe",), ("mediapipe",), ""),
)
_FOLDER = (
    _Script("keras dataset and predict", "tensorflow", "keras_folder", ("keras", "tensorflow"), (), KERAS_MODEL),
    _Script("onnxruntime and Pillow, a process a core", "peer", "onnxruntime_folder", ("onnxruntime",), (), ONNX_MODEL),
    _Script("mediapipe, one by one", "peer", "mediapipe_folder", ("mediapipe",), (), ""),
)


def programs(setup: Setup, *, folder: bool) -> list[Program]:
    """The scripts that can run here, for one photo or for a folder; each takes the whole machine as it will."""
    found = [_program(setup, script) for script in (_FOLDER if folder else _ONE)]
    return [program for program in found if program is not None]


def edgefeat_program(setup: Setup, name: str, options: tuple[str, ...], ending: str) -> Program:
    """`edgefeat extract` with more options; its output is named by the last of them, with that `ending`."""
    engine = next(iter(candidates(setup.bundle))).engine
    needed = ("numpy", "pillow", "click", "tqdm", next(one.distribution for one in ENGINES if one == engine))

    def command(pictures: str, output: Path) -> list[str]:
        start = [sys.executable, "-P", "-m", "edgefeat", "extract", str(setup.bundle.path), pictures]
        return [*start, *options, str(output.with_suffix(ending))]

    return Program(name, "edgefeat", needed, command)


def run_program(program: Program, pictures: str, folder: Path, environment: Mapping[str, str]) -> tuple[float, int]:
    """Seconds from start to end, and the most memory held at any time by all its processes together, in bytes.

    Raises EdgefeatError where it fails, or leaves a feature that is none.
    """
    output = folder / "output.npy"
    for left in folder.glob("output.*"):
        left.unlink()
    command = program.command(pictures, output)
    log = folder / "log"
    with log.open("w") as stream:
        started = time.perf_counter()
        process = psutil.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**child_environment(), **environment},
        )
        try:
            peak = _watched(process, started)
        except BaseException:  # an interruption too: nobody else would end it
            _end(process)
            raise
        took = time.perf_counter() - started
    if process.returncode != 0:
        words = log.read_text(errors="replace").strip().splitlines() or [""]
        raise EdgefeatError(f"{program.name} failed with exit status {process.returncode}: {words[-1][:200]}")
    if output.exists() and not (np.isfinite(found := np.load(output)).all() and found.any()):
        raise EdgefeatError(f"{program.name} gave a feature that is none: {found.ravel()[:4]}")
    return took, peak


def _watched(process: psutil.Popen, started: float) -> int:
    """Waits for the end; the most memory seen. Pages that processes share count once, where the system tells."""
    peak = 0
    while True:
        peak = max(peak, _memory(process))
        try:
            process.wait(_LOOK_SECONDS)
            return peak
        except psutil.TimeoutExpired:
            if time.perf_counter() - started > _LIMIT_SECONDS:
                _end(process)


def _end(process: psutil.Popen) -> None:
    """Ends a program and all that it started."""
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        family = [process, *process.children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()
    process.wait()


def _memory(process: psutil.Popen) -> int:
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for one in family:
        try:
            if len(family) == 1:
                total += one.memory_info().rss
            else:
                told = one.memory_full_info()
                total += getattr(told, "pss", told.rss)
        except psutil.Error:  # it has ended meanwhile
            continue
    return total


def _program(setup: Setup, script: _Script) -> Program | None:
    import importlib.util

    facts = setup.facts
    if any(importlib.util.find_spec(name) is None for name in script.modules):
        return None
    model = setup.folder / script.model if script.model else setup.bundle.path / "tflite-float32.tflite"
    if not model.exists():
        return None
    form = setup.bundle.manifest.picture

    def command(pictures: str, output: Path) -> list[str]:
        told = {
            "model": str(model),
            "pictures": pictures,
            "output": str(output),
            "height": form.height,
            "width": form.width,
            "preprocess": facts.preprocess,
            "scale": facts.scale,
            "shift": facts.shift,
            "reversed": facts.reversed,
        }
        return [sys.executable, "-P", str(_SCRIPTS / f"{script.file}.py"), json.dumps(told)]

    return Program(script.name, script.side, script.distributions, command)
