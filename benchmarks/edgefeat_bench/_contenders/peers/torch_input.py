"""An image as timm's networks take it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32) * 255


def normalized(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Return an image, uint8 (H, W, 3), normalized as ImageNet is: float32 (1, 3, H, W), channels last in memory."""
    return torch.from_numpy((pixels.astype(np.float32) - _MEAN) / _DEVIATION).permute(2, 0, 1)[None]
