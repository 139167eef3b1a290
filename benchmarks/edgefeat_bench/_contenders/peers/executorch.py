"""timm's network of the same architecture on ExecuTorch with XNNPACK. Its weights differ: features cannot be compared.

Keras's network on the PyTorch backend, which would have the bundle's weights, can be exported as well, but ExecuTorch
1.5 does not run that program (`_clone_dim_order` fails).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime
from numpy.typing import NDArray

from edgefeat_bench._contenders.interface import Opened, Task, timed_stages
from edgefeat_bench._contenders.peers.torch_input import normalized
from edgefeat_bench._processes import run_module

_MAKER = "edgefeat_bench._contenders.peers.executorch_program"


def open_contender(task: Task) -> Opened:
    """The program in float32 or int8, as the contender's variant says; made once, by a process of its own."""
    precision = str(task.contender.variant)
    file = task.folder / f"executorch-{precision}.pte"
    started = time.perf_counter()
    if not file.exists():
        run_module(_MAKER, task.bundle, precision, str(file))
    making = time.perf_counter() - started
    _unsafe_reset_threadpool(task.threads)
    program = Runtime.get().load_program(file)

    def infer(pixels: NDArray[np.uint8]) -> Any:
        # The method is loaded once. It does not keep its program alive.
        return program.load_method("forward").execute([normalized(pixels).contiguous()])[0].numpy()

    distributions = ("executorch", "torch", "numpy", "pillow")
    return Opened(timed_stages(infer, task.form()), distributions, file.stat().st_size, making_seconds=making)
