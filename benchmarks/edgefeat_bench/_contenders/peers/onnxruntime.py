"""ONNX Runtime with the file of Keras's own ONNX export: Pillow, NumPy, one float32 session."""

from __future__ import annotations

import onnxruntime

from edgefeat_bench._contenders.interface import Opened, Task, affine, timed_stages
from edgefeat_bench._contenders.model_files import ONNX_MODEL


def open_contender(task: Task) -> Opened:
    """The session as in its guide."""
    path, facts = task.folder / ONNX_MODEL, task.facts()
    preprocess = affine(facts)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    extract = timed_stages(lambda pixels: session.run(None, {name: preprocess(pixels)}), task.form())
    return Opened(extract, ("onnxruntime", "numpy", "pillow"), path.stat().st_size, facts.remark(ONNX_MODEL))
