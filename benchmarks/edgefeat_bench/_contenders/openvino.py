"""OpenVINO's own reading of the stock ONNX file, preprocessing in its graph; pictures by OpenCV if installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from typing import Any

import numpy as np

# Where `import openvino` finds this package it reports to its maker.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python spells "not to be imported"

import openvino  # noqa: E402  only once the other cannot be imported
from openvino.preprocess import PrePostProcessor  # noqa: E402

from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, laid_out, pillow_picture  # noqa: E402
from edgefeat_bench._contenders.model_files import ONNX_MODEL, Prepared  # noqa: E402

__all__ = ["open_contender"]

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")  # whichever brought cv2


def open_contender(task: Task) -> Opened:
    """Compiled for latency, in the precision it takes by itself. OpenCV decodes and scales as OpenVINO's guides do."""
    path, form = task.folder / ONNX_MODEL, task.form()
    core = openvino.Core()
    network = core.read_model(str(path))
    network.reshape([1, form.height, form.width, 3])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": task.threads}
    compiled = core.compile_model(_with_preprocessing(network, task.facts()), "CPU", settings)
    request = compiled.create_infer_request()
    opencv = importlib.util.find_spec("cv2") is not None and form.fit == "stretch"
    if opencv:
        importlib.import_module("cv2").setNumThreads(task.threads)

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        if opencv:
            pixels, decoded, resized = _opencv_picture(picture, form.width, form.height)
        else:
            pixels, decoded, resized = pillow_picture(picture, form)
        request.infer([pixels[None]])
        features = laid_out([request.get_output_tensor(index).data for index in range(len(compiled.outputs))])
        return Answer(features, (decoded - started, resized - decoded, time.perf_counter() - resized))

    return Opened(extract, ("openvino", *(_OPENCV if opencv else ("pillow",))), path.stat().st_size)


def _with_preprocessing(network: Any, facts: Prepared) -> Any:
    """The network from uint8 RGB NHWC, scale and shift inside."""
    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NHWC"))
    inside = steps.input().preprocess().convert_element_type(openvino.Type.f32)
    if facts.reversed:
        inside = inside.reverse_channels()
    inside.mean([-shift / scale for shift, scale in zip(facts.shift, facts.scale, strict=True)])
    inside.scale([1 / scale for scale in facts.scale])
    return steps.build()


def _opencv_picture(picture: Picture, width: int, height: int) -> tuple[np.ndarray[Any, Any], float, float]:
    """INTER_AREA: with OpenCV's default, which does not smooth, large photos give other features."""
    cv2: Any = importlib.import_module("cv2")  # it has types where it is installed, and only there
    image = cv2.cvtColor(cv2.imread(picture), cv2.COLOR_BGR2RGB) if isinstance(picture, str) else picture
    decoded = time.perf_counter()
    smaller = image.shape[0] > height and image.shape[1] > width
    pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return pixels, decoded, time.perf_counter()
