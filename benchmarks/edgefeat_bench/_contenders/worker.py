"""A contender in a process of its own: it reads one image a line and answers with time and feature.

Lines are JSON. The first answer is `{"versions": {...}, "model_bytes": N}`, optionally with `remark` and with
`making_seconds`, which are no part of its start, or, if it cannot run, `{"absent": reason}`, optionally with `remedy`,
the command that helps. Each request is `{"file": path}` or `{"array": path}`, an .npy file of uint8 RGB (H, W, 3) that
is read before the time starts. A request may also name an array as `"warm"`, to be extracted before, untimed. The
answer is `{"seconds": s, "feature": f}`, f a list of numbers or base64 of little-endian float32, optionally with `laps`
(seconds to decode, resize, infer) and `peak` (bytes).

Any program that does this can be a contender: `edgefeat-bench run --add NAME=COMMAND`.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import importlib.metadata
import json
import os
import re
import signal
import sys
import time
from typing import Any, TextIO

import numpy as np

from edgefeat import EdgefeatError
from edgefeat._bundle.json_records import from_json
from edgefeat._engines.device.memory import peak_memory
from edgefeat_bench._contenders.interface import Opened, Picture, Task
from edgefeat_bench._contenders.registry import KINDS, Kind, opening_of

# A stopped process needs this long until the system has spread its threads over the cores again. So the timed image is
# one of a series, not the first after a pause.
_WARM_SECONDS, _WARM_CALLS = 0.05, 2
_PR_SET_PDEATHSIG = 1  # prctl(2)
#: Debian's packages of the system libraries that peers need, by the library's name.
_DEBIAN = {
    "libEGL": "libegl1",
    "libGL": "libgl1",
    "libGLESv2": "libgles2",
    "libglib": "libglib2.0-0",
    "libxcb": "libxcb1",
}


def main(task_json: str) -> int:
    """Answer until the input ends."""
    _end_with_parent()
    # Engines print on both streams; the answers have a stream of their own.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    task = from_json(Task, json.loads(task_json))
    kind = KINDS[task.contender.kind]
    try:
        opening = opening_of(kind)
    except Exception as error:  # noqa: BLE001  incompatible packages raise anything
        names = ", ".join(kind.modules) or "edgefeat"
        _answer(answers, {"absent": f"{names} cannot be imported: {error}", "remedy": _remedy(kind, error)})
        return 0
    try:
        opened = opening(task)
    except (ImportError, EdgefeatError) as error:
        _answer(answers, {"absent": str(error)})
        return 0
    facts = {name: getattr(opened, name) for name in ("model_bytes", "remark", "making_seconds")}
    _answer(answers, {"versions": _versions(opened.distributions), **facts})
    arrays: dict[str, Picture] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        for name in filter(None, (asked.get("array"), asked.get("warm"))):
            if name not in arrays:
                arrays[name] = np.load(name)
        if warm := asked.get("warm"):
            warm_up(opened, arrays[warm])
        _answer(answers, _timed(opened, arrays[asked["array"]] if "array" in asked else asked["file"]))
    return 0


def _end_with_parent() -> None:
    """On Linux, end when the parent is killed: a worker that waits is stopped, and would not see its input end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _remedy(kind: Kind, error: Exception) -> str:
    """Return the command that installs what an import lacked: a system library, or else a compatible package."""
    library = re.search(r"(lib\w+)\.so[\w.]*: cannot open shared object file", str(error))
    if library is None:
        return kind.remedy.replace("pip install", "pip install --upgrade")
    package = _DEBIAN.get(library[1], library[1].lower())
    return f"apt-get install {package} (on Debian; it has {library[1]})"


def warm_up(opened: Opened, picture: Picture) -> None:
    """Run for `_WARM_SECONDS`, twice at least: the first call after a pause is the one that is slow."""
    until, calls = time.perf_counter() + _WARM_SECONDS, 0
    while calls < _WARM_CALLS or time.perf_counter() < until:
        opened.extract(picture)
        calls += 1


def _timed(opened: Opened, picture: Picture) -> dict[str, Any]:
    started = time.perf_counter()
    answer = opened.extract(picture)
    seconds = time.perf_counter() - started
    encoded = base64.b64encode(np.ascontiguousarray(answer.feature, "<f4").tobytes()).decode()
    return {"seconds": seconds, "laps": answer.laps, "feature": encoded, "peak": peak_memory() or 0}


def _versions(distributions: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # OpenCV has several names
            found[name] = importlib.metadata.version(name)
    return found


def _answer(stream: TextIO, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
