"""Run a file in TensorFlow Lite Micro, in a process of its own: `python -m ... TASK.json`.

Its interpreter prints what its arena holds from C++, to the file descriptor of standard output or standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

__all__: list[str] = []


def _main(task: dict[str, str]) -> int:
    from tflite_micro.python.tflite_micro import runtime

    model, levels = Path(task["model"]).read_bytes(), np.load(task["inputs"])
    try:
        interpreter = runtime.Interpreter.from_bytes(model, arena_size=int(task["arena"]))
    except (RuntimeError, ValueError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    interpreter.print_allocations()
    outputs: list[list[np.ndarray]] = [[] for _ in range(int(task["outputs"]))]
    for one in levels:
        interpreter.set_input(one[np.newaxis], 0)
        interpreter.invoke()
        for index, rows in enumerate(outputs):
            rows.append(interpreter.get_output(index)[0].copy())
    if len(levels):
        np.savez(task["results"], *[np.stack(rows) for rows in outputs])
    return 0


if __name__ == "__main__":
    sys.exit(_main(json.loads(sys.argv[1])))
