"""OpenVINO with the stock ONNX file, preprocessing in its graph; images by OpenCV if installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from typing import Any

import numpy as np

# If `import openvino` finds this package, it sends usage data.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # prevents its import

import openvino  # noqa: E402  after the line above
from openvino.preprocess import PrePostProcessor  # noqa: E402

from edgefeat._images.form import PictureForm  # noqa: E402
from edgefeat_bench._contenders.interface import (  # noqa: E402
    Opened,
    Picture,
    Prepared,
    Task,
    pillow_picture,
    timed_stages,
)
from edgefeat_bench._contenders.model_files import ONNX_MODEL, ModelFacts  # noqa: E402

_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")  # whichever brought cv2


def open_contender(task: Task) -> Opened:
    """Compiled for latency, in its default precision. OpenCV decodes and resizes as in OpenVINO's guides."""
    path, form, facts = task.folder / ONNX_MODEL, task.form(), task.facts()
    core = openvino.Core()
    network = core.read_model(str(path))
    network.reshape([1, form.height, form.width, 3])
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": task.threads}
    compiled = core.compile_model(_with_preprocessing(network, facts), "CPU", settings)
    request = compiled.create_infer_request()
    opencv = importlib.util.find_spec("cv2") is not None and form.fit == "stretch"
    if opencv:
        importlib.import_module("cv2").setNumThreads(task.threads)

    def infer(pixels: np.ndarray[Any, Any]) -> list[Any]:
        request.infer([pixels[None]])
        return [request.get_output_tensor(index).data for index in range(len(compiled.outputs))]

    extract = timed_stages(infer, form, _opencv_picture if opencv else pillow_picture)
    distributions = ("openvino", *(_OPENCV if opencv else ("pillow",)))
    return Opened(extract, distributions, path.stat().st_size, facts.remark(ONNX_MODEL))


def _with_preprocessing(network: Any, facts: ModelFacts) -> Any:
    """Return the network from uint8 RGB NHWC, with scale and shift inside."""
    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NHWC"))
    inside = steps.input().preprocess().convert_element_type(openvino.Type.f32)
    if facts.reversed:
        inside = inside.reverse_channels()
    inside.mean([-shift / scale for shift, scale in zip(facts.shift, facts.scale, strict=True)])
    inside.scale([1 / scale for scale in facts.scale])
    return steps.build()


def _opencv_picture(picture: Picture, form: PictureForm) -> Prepared:
    """Resize by INTER_AREA: OpenCV's default does not smooth, and the features of large photos would differ."""
    cv2: Any = importlib.import_module("cv2")  # it has types only where it is installed
    image = cv2.imread(picture) if isinstance(picture, str) else picture
    decoded = time.perf_counter()
    smaller = image.shape[0] > form.height and image.shape[1] > form.width
    pixels = cv2.resize(image, (form.width, form.height), None, 0, 0, cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    if isinstance(picture, str):  # BGR until here: fewer pixels to reorder
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels, decoded, time.perf_counter()
