"""timm's network of the same architecture on PyTorch. Its weights differ: features cannot be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray

import edgefeat
from edgefeat import EdgefeatError
from edgefeat_bench._contenders.interface import Opened, Task, timed_stages

_NAMES = {
    "densenet121": "densenet121",
    "mobilenet": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "efficientnet_b0": "efficientnet_b0",
    "vgg16": "vgg16",
    "vgg19": "vgg19",
}


def open_contender(task: Task) -> Opened:
    """`create_model(..., num_classes=0)` in inference mode, channels last, on random weights: nothing is downloaded."""
    manifest = edgefeat.Bundle.open(task.bundle).manifest
    backbone, form = manifest.backbone, manifest.picture
    name = _NAMES.get(backbone.name, "")
    if alpha := backbone.options.get("alpha"):
        name = name.replace("_100", f"_{round(float(alpha) * 100):03d}")
    if not name or not timm.is_model(name):
        raise EdgefeatError(f"timm has no {backbone.name} {' '.join(backbone.options.values())}".rstrip())
    torch.set_num_threads(task.threads)
    model = timm.create_model(name, pretrained=False, num_classes=0).eval().to(memory_format=torch.channels_last)
    mean = np.array([0.485, 0.456, 0.406], np.float32) * 255
    deviation = np.array([0.229, 0.224, 0.225], np.float32) * 255

    def infer(pixels: NDArray[np.uint8]) -> Any:
        batch = torch.from_numpy((pixels.astype(np.float32) - mean) / deviation).permute(2, 0, 1)[None]
        with torch.inference_mode():
            return model(batch.to(memory_format=torch.channels_last)).numpy()

    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return Opened(timed_stages(infer, form), ("torch", "timm", "numpy", "pillow"), size)
