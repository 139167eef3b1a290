"""timm's network of the same architecture on PyTorch. Its weights differ: features cannot be compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgefeat_bench._contenders.interface import Opened, Task, timed_stages
from edgefeat_bench._contenders.peers.timm_network import timm_network
from edgefeat_bench._contenders.peers.torch_input import normalized


def open_contender(task: Task) -> Opened:
    """The network in inference mode, channels last."""
    torch.set_num_threads(task.threads)
    model = timm_network(task.bundle).to(memory_format=torch.channels_last)

    def infer(pixels: NDArray[np.uint8]) -> Any:
        with torch.inference_mode():
            return model(normalized(pixels).to(memory_format=torch.channels_last)).numpy()

    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return Opened(timed_stages(infer, task.form()), ("torch", "timm", "numpy", "pillow"), size)
