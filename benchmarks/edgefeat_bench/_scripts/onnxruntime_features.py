"""Features with ONNX Runtime and Pillow: one photo, or a folder with a process for each core, as fastembed does it."""

import functools
import json
import os
import sys
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

task = json.loads(sys.argv[1])


@functools.cache
def session(threads: int) -> Any:
    """Return this process's session. 0 threads are as many as it likes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(task["model"], options, providers=["CPUExecutionProvider"])


def feature(path: str, threads: int = 1) -> Any:
    """Return one photo's feature."""
    opened = Image.open(path)
    whole = opened if opened.mode == "RGB" else opened.convert("RGB")
    image = whole.resize((task["width"], task["height"]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)[..., ::-1] if task["reversed"] else np.asarray(image)
    prepared = pixels.astype(np.float32) * np.array(task["scale"], np.float32) + np.array(task["shift"], np.float32)
    model = session(threads)
    return model.run(None, {model.get_inputs()[0].name: prepared[None]})[0][0]


if __name__ == "__main__":
    if os.path.isdir(task["pictures"]):
        from concurrent.futures import ProcessPoolExecutor

        paths = sorted(os.path.join(task["pictures"], name) for name in os.listdir(task["pictures"]))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        with ProcessPoolExecutor(cores) as pool:
            features = list(pool.map(feature, paths, chunksize=8))
    else:
        features = [feature(task["pictures"], threads=0)]
    np.save(task["output"], np.stack(features))
