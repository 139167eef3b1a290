"""Runs on the emulated board: one stage after another, with marks between them that the emulator's plugin counts at.

    python marking.py '{"kind": "edgefeat", "bundle": ..., "variant": ..., "engine": ..., "photo": ..., "turns": N}'
    python marking.py '{"kind": "frame", "bundle": ..., "variant": ..., "turns": N}'
    python marking.py '{"kind": "plain", "model": ..., "preprocessing": "tf", "size": [H, W], "engine": ..., ...}'

`plain` is what one writes without edgefeat: Pillow decodes and resizes, NumPy preprocesses as keras.applications does,
the stock converter's file runs, NumPy divides by the length. Prints the stages by the labels of their marks as JSON.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

_MARK = 0x65646765
_MODULES = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}

Stages = dict[str, Callable[[], object]]


def main(task: dict[str, Any]) -> None:
    """Each stage `turns` times between two marks, after two turns of all to warm up."""
    stages = {"edgefeat": _edgefeat, "plain": _plain, "frame": _frame}[task["kind"]](task)
    kernel = ctypes.CDLL(None)
    for _ in range(2):
        for stage in stages.values():
            stage()
    labels = {}
    for number, (name, stage) in enumerate(stages.items()):
        labels[name] = 2 * number
        kernel.getpriority(_MARK, 2 * number)
        for _ in range(task["turns"]):
            stage()
        kernel.getpriority(_MARK, 2 * number + 1)
    print(json.dumps(labels))


def _edgefeat(task: dict[str, Any]) -> Stages:
    import edgefeat
    from edgefeat._images.picture import decoded, fitted

    extractor = edgefeat.load(task["bundle"], variant=task["variant"], engine=task["engine"], threads=1)
    form = extractor.bundle.manifest.picture
    with decoded(task["photo"], form, "fast") as opened:
        image = opened.copy()  # the file is closed
    picture = fitted(image, form)[np.newaxis]

    def decode() -> None:
        with decoded(task["photo"], form, "fast"):
            pass

    def resize() -> object:
        return fitted(image, form)

    return {"decode": decode, "resize": resize, "inference": lambda: extractor.run(picture)}


def _frame(task: dict[str, Any]) -> Stages:
    """From a camera's frame to the feature, in three ways."""
    import cv2

    import edgefeat

    file = edgefeat.load(task["bundle"], variant=task["variant"], threads=1)
    plain = edgefeat.load(task["bundle"], variant=task["variant"].partition("@")[0], threads=1)
    form, picture = file.frame, plain.bundle.manifest.picture
    assert form is not None
    cv2.setNumThreads(1)
    frame = np.random.default_rng(0).integers(16, 236, form.shape, np.uint8)
    name = f"COLOR_YUV2RGB_{form.format.upper()}" if form.is_yuv else f"COLOR_{form.format.upper()}2RGB"
    code = getattr(cv2, name, None)
    turn = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}.get(form.rotation)
    size = (picture.width, picture.height)
    small = size if form.rotation in (0, 180) else size[::-1]

    def turned(image: Any) -> Any:
        return image if turn is None else cv2.rotate(image, turn)

    def converted() -> Any:
        return frame if code is None else cv2.cvtColor(frame, code)

    def by_opencv() -> Any:
        resized = cv2.resize(converted(), small, interpolation=cv2.INTER_AREA)
        return plain.run(np.ascontiguousarray(turned(resized))[np.newaxis])

    return {
        "file": lambda: file.extract_frame(frame),
        "python": lambda: plain.extract(turned(converted())),
        "opencv": by_opencv,
    }


def _plain(task: dict[str, Any]) -> Stages:
    interpreter = importlib.import_module(_MODULES[task["engine"]]).Interpreter(task["model"], num_threads=1)
    interpreter.allocate_tensors()
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    height, width = task["size"]

    def decode() -> Image.Image:
        with Image.open(task["photo"]) as image:
            return image.convert("RGB")

    image = decode()

    def resize() -> Any:
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)

    picture = resize()

    def infer() -> Any:
        tensor = preprocessed(picture[np.newaxis], task["preprocessing"])
        if given["dtype"] is not np.float32:
            scale, zero = given["quantization"]
            limits = np.iinfo(given["dtype"])
            tensor = np.clip(np.round(tensor / scale + zero), limits.min, limits.max).astype(given["dtype"])
        interpreter.set_tensor(given["index"], tensor)
        interpreter.invoke()
        feature = interpreter.get_tensor(result["index"]).astype(np.float32)
        if result["dtype"] is not np.float32:
            scale, zero = result["quantization"]
            feature = (feature - zero) * scale
        return feature / np.linalg.norm(feature, axis=-1, keepdims=True)

    return {"decode": decode, "resize": resize, "inference": infer}


def preprocessed(pictures: Any, preprocessing: str) -> Any:
    """What `keras.applications.imagenet_utils.preprocess_input` does in that mode."""
    if preprocessing == "tf":
        return pictures / 127.5 - 1.0
    if preprocessing == "caffe":
        return pictures[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    if preprocessing == "torch":
        mean, deviation = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        return (pictures / 255.0 - np.array(mean, np.float32)) / np.array(deviation, np.float32)
    return pictures


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
