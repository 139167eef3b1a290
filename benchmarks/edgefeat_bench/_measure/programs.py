"""Whole programs, timed from start to end, with the memory that they and their children use."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from edgefeat import EdgefeatError
from edgefeat._commands.cli.terminal import reason
from edgefeat._engines.registry import engine_named
from edgefeat._engines.selection import candidates
from edgefeat_bench._contenders.model_files import KERAS_MODEL, ONNX_MODEL, TFLITE_MODEL
from edgefeat_bench._contenders.registry import LAYERS
from edgefeat_bench._installed import alone, distributions_of
from edgefeat_bench._processes import child_environment, interruption_deferred
from edgefeat_bench._records import Side
from edgefeat_bench._setup.setup import Setup

_FOLDER = Path(__file__).parents[1] / "_scripts"
_LOOK_SECONDS = 0.05
_LIMIT_SECONDS = 1800.0


@dataclass(slots=True)
class Program:
    """A program, and what was measured of it.

    `command` gives its arguments for photos and an output, `distributions` is what has to be installed for it,
    `environment` is added to that of all processes.
    """

    name: str
    side: Side
    distributions: tuple[str, ...]
    command: Callable[[str, Path], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    peak: int = 0


@dataclass(frozen=True, slots=True)
class _Script:
    """A script of another project: the module and distributions it needs, its model, and its names in the tables.

    Without `folder` it takes one photo only; without `model` the bundle's float32 TFLite file.
    """

    file: str
    side: Side
    module: str
    distributions: tuple[str, ...]
    model: str
    one: str
    folder: str = ""


_SCRIPTS = (
    _Script(
        *("keras_features", "tensorflow", "tensorflow", ("tensorflow", "pillow"), KERAS_MODEL),
        *("keras script", "keras dataset and predict"),
    ),
    _Script(
        *("onnxruntime_features", "peer", "onnxruntime", ("onnxruntime", "pillow", "numpy"), ONNX_MODEL),
        *("onnxruntime and Pillow script", "onnxruntime and Pillow, a process a core"),
    ),
    _Script(
        *("litert_features", "peer", "ai_edge_litert", ("ai-edge-litert", "pillow", "numpy"), TFLITE_MODEL),
        "litert and Pillow script",
    ),
    _Script(
        *("mediapipe_features", "peer", "mediapipe", ("mediapipe",), ""),
        *("mediapipe script", "mediapipe, one by one"),
    ),
)


def scripts(setup: Setup, *, folder: bool) -> list[Program]:
    """Return the scripts that can run here, for one photo or for a folder; each uses the machine as it likes."""
    found, facts, form = [], setup.facts, setup.bundle.manifest.picture
    for one in _SCRIPTS:
        name = one.folder if folder else one.one
        path = setup.folder / one.model if one.model else setup.bundle.path / "tflite-float32.tflite"
        if not name or importlib.util.find_spec(one.module) is None or not path.exists():
            continue
        task = {
            "model": str(path),
            **{"height": form.height, "width": form.width, "preprocess": facts.preprocess},
            **{"scale": facts.scale, "shift": facts.shift, "reversed": facts.reversed},
        }
        needed = (*one.distributions, *distributions_of([one.module]), *(LAYERS if one.model == KERAS_MODEL else ()))
        start = alone([str(_FOLDER / f"{one.file}.py")], needed)
        found.append(Program(name, one.side, one.distributions, _with_task(start, task)))
    return found


def _with_task(start: list[str], task: dict[str, object]) -> Callable[[str, Path], list[str]]:
    return lambda photos, output: [*start, json.dumps({**task, "pictures": photos, "output": str(output)})]


def edgefeat_program(
    setup: Setup, name: str, option: str, suffix: str, environment: Mapping[str, str], engine: str | None = None
) -> Program:
    """Return `edgefeat extract`; `option` names its output, which has that `suffix`.

    It runs on the named engine; without one, on the one of its untuned default. `environment` says where its cache is.
    """
    used = next(iter(candidates(setup.bundle))).engine if engine is None else engine_named(engine)
    distributions = ("numpy", "pillow", "click", "tqdm", used.distribution)
    needed = ("edgefeat", *distributions, *distributions_of([used.module]))
    start = alone(["-m", "edgefeat", "extract", str(setup.bundle.path)], needed)
    return Program(
        name,
        "edgefeat",
        distributions,
        lambda photos, output: [*start, photos, option, str(output.with_suffix(suffix))],
        environment,
    )


def run_in_turns(
    programs: Sequence[Program], photos: str, scratch: Path, *,
    turns: int, seed: Sequence[int], tell: Callable[[str], None],
) -> list[Program]:  # fmt: skip
    """Run every program once a turn, in an order drawn from `seed`; return those that never failed."""
    failed: set[str] = set()
    for turn in range(turns):
        for place in np.random.default_rng([seed[0], turn, *seed[1:]]).permutation(len(programs)):
            program = programs[place]
            if program.name in failed:
                continue
            tell(f"{program.name}, turn {turn + 1} of {turns}")
            try:
                seconds, peak = run_program(program, photos, scratch)
            except EdgefeatError as error:
                tell(f"skipped: {error}")
                failed.add(program.name)
                continue
            program.seconds.append(round(seconds, 4))
            program.peak = max(program.peak, peak)
    return [program for program in programs if program.name not in failed]


def run_program(program: Program, photos: str, folder: Path) -> tuple[float, int]:
    """Return the seconds from start to end, and the peak memory of all its processes together, in bytes.

    Raises EdgefeatError if it fails, or writes an invalid feature.
    """
    output = folder / "output.npy"
    for left in folder.glob("output.*"):
        left.unlink()
    log = folder / "log"
    with log.open("w") as stream:
        started, process = time.perf_counter(), None
        try:
            with interruption_deferred():
                process = psutil.Popen(
                    program.command(photos, output),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    env={**child_environment(), **program.environment},
                )
            peak = _watch(process, started)
        except BaseException:  # also an interruption: nobody else would end the program
            if process is not None:
                _end(process)
            raise
        seconds = time.perf_counter() - started
    if process.returncode != 0:
        said = reason(log.read_text(errors="replace"))
        raise EdgefeatError(f"{program.name} failed with exit status {process.returncode}: {said[:200]}")
    if output.exists() and not (np.isfinite(found := np.load(output)).all() and found.any()):
        raise EdgefeatError(f"{program.name} wrote an invalid feature: {found.ravel()[:4]}")
    return seconds, peak


def _watch(process: psutil.Popen, started: float) -> int:
    """Wait for the end and return the peak memory. Shared pages count once, where the system reports them."""
    peak = 0
    while True:
        peak = max(peak, _memory(process))
        try:
            process.wait(_LOOK_SECONDS)
            return peak
        except psutil.TimeoutExpired:
            if time.perf_counter() - started > _LIMIT_SECONDS:
                _end(process)


def _family(process: psutil.Popen) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
        return [process, *process.children(recursive=True)]
    return []


def _end(process: psutil.Popen) -> None:
    """End a program and all its children."""
    for one in _family(process):
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.wait()


def _memory(process: psutil.Popen) -> int:
    total, family = 0, _family(process)
    for one in family:
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            if len(family) == 1:
                total += one.memory_info().rss
            else:
                info = one.memory_full_info()
                total += getattr(info, "pss", info.rss)
    return total
