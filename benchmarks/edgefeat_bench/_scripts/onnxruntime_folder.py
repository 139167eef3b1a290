"""A folder's features with ONNX Runtime and Pillow: a process a core, each with a session of its own, as fastembed."""

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

task = json.loads(sys.argv[1])
_kept: dict[str, Any] = {}


def feature(path: str) -> Any:
    """One photo's feature, by this process's own session."""
    if not _kept:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        _kept["session"] = onnxruntime.InferenceSession(task["model"], options, providers=["CPUExecutionProvider"])
    session = _kept["session"]
    image = Image.open(path).convert("RGB").resize((task["width"], task["height"]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)[..., ::-1] if task["reversed"] else np.asarray(image)
    prepared = pixels.astype(np.float32) * np.array(task["scale"], np.float32) + np.array(task["shift"], np.float32)
    return session.run(None, {session.get_inputs()[0].name: prepared[None]})[0][0]


if __name__ == "__main__":
    paths = sorted(str(path) for path in Path(task["pictures"]).iterdir())
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        np.save(task["output"], np.stack(list(pool.map(feature, paths, chunksize=8))))
