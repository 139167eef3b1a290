"""A contender in a process of its own. It reads a picture a line and answers with the time and the feature.

Lines are JSON. The first answer is `{"versions": {...}, "model_bytes": N}`, to which `remark`, what it chose by itself,
may be added, or where it cannot be `{"absent": reason}`, to which `remedy`, the command that helps, may be added.
Each picture is `{"file": path}` or `{"array": path}`, an .npy file of uint8 RGB (H, W, 3) that is read before the time
begins; one more array, named by `"warm"`, may be taken before it, not timed, as often as wakes the engine up. The
answer is `{"seconds": s, "feature": f}`, f a list of numbers or base64 of little-endian float32; `laps` (decode,
resize, inference) and `peak` (bytes) may be added.
Any program that speaks so can be a contender: `edgefeat-bench run --add NAME=COMMAND`.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import re
import sys
import time
from typing import Any, TextIO

import numpy as np

from edgefeat import EdgefeatError
from edgefeat._bundle.json_records import from_json
from edgefeat_bench._contenders.interface import Opened, Picture, Task
from edgefeat_bench._contenders.kinds import KINDS, Kind, opening_of
from edgefeat_bench._contenders.memory import peak_memory

__all__ = ["main"]

# How long a process that was stopped works before it is timed: so long the system takes to spread its threads over the
# cores again. What is timed then is a picture among many, as of a folder or a camera, not the first one after a pause.
_WARM_SECONDS = 0.05

#: Debian's packages of the system's libraries that peers want, by the library's name.
_DEBIAN = {
    "libEGL": "libegl1",
    "libGL": "libgl1",
    "libGLESv2": "libgles2",
    "libglib": "libglib2.0-0",
    "libxcb": "libxcb1",
}


def main(task_json: str) -> int:
    """Answers until its input ends."""
    # Engines print on both streams; the answers go to a stream of their own.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    task = from_json(Task, json.loads(task_json))
    kind = KINDS[task.contender.kind]
    try:
        opening = opening_of(kind)
    except Exception as error:  # noqa: BLE001  packages that do not fit together raise anything
        names = ", ".join(kind.modules) or "edgefeat"
        _answer(answers, {"absent": f"{names} cannot be imported: {error}", "remedy": _remedy(kind, error)})
        return 0
    try:
        opened = opening(task)
    except (ImportError, EdgefeatError) as error:
        _answer(answers, {"absent": str(error)})
        return 0
    facts = {"versions": _versions(opened.distributions), "model_bytes": opened.model_bytes, "remark": opened.remark}
    _answer(answers, facts)
    arrays: dict[str, Picture] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        for name in (asked.get("array"), asked.get("warm")):
            if name and name not in arrays:
                arrays[name] = np.load(name)
        if warm := asked.get("warm"):
            _warm(opened, arrays[warm])
        _answer(answers, _timed(opened, arrays[asked["array"]] if "array" in asked else asked["file"]))
    return 0


def _remedy(kind: Kind, error: Exception) -> str:
    """The command that brings what an import lacked: a library of the system, or else a package that fits."""
    library = re.search(r"(lib\w+)\.so[\w.]*: cannot open shared object file", str(error))
    if library is None:
        return kind.remedy.replace("pip install", "pip install --upgrade")
    package = _DEBIAN.get(library[1], library[1].lower())
    return f"apt-get install {package} (on Debian; it has {library[1]})"


def _warm(opened: Opened, picture: Picture) -> None:
    until = time.perf_counter() + _WARM_SECONDS
    opened.extract(picture)
    while time.perf_counter() < until:
        opened.extract(picture)


def _timed(opened: Opened, picture: Picture) -> dict[str, Any]:
    started = time.perf_counter()
    answer = opened.extract(picture)
    seconds = time.perf_counter() - started
    encoded = base64.b64encode(np.ascontiguousarray(answer.feature, "<f4").tobytes()).decode()
    return {"seconds": seconds, "laps": answer.laps, "feature": encoded, "peak": peak_memory()}


def _versions(distributions: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # OpenCV comes under several names
            continue
    return found


def _answer(stream: TextIO, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
