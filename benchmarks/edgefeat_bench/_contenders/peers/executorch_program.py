"""ExecuTorch's program of timm's network: `python -m edgefeat_bench._contenders.peers.executorch_program` writes it.

The steps are those of ExecuTorch's guide for XNNPACK. A process of its own makes the program: what only the export
needs stays out of the memory of the process that is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from executorch.exir import to_edge_transform_and_lower
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

import edgefeat
from edgefeat._bundle.atomic_files import written_file
from edgefeat_bench._contenders.peers.timm_network import timm_network
from edgefeat_bench._contenders.peers.torch_input import normalized

#: On random weights the ranges of random images do as well as those of photos: only the time counts.
_CALIBRATION = 4


def write_program(bundle: str, precision: str, output: Path) -> None:
    """Write the program for images of the bundle's size, `float32` or with weights and activations in `int8`."""
    form = edgefeat.Bundle.open(bundle).manifest.picture
    random = np.random.default_rng(0).integers(0, 256, (_CALIBRATION, form.height, form.width, 3), np.uint8)
    examples = [normalized(pixels).contiguous() for pixels in random]
    model = timm_network(bundle)
    if precision == "int8":
        model = _quantized(model, examples)
    exported = torch.export.export(model, (examples[0],))
    program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    with written_file(output) as stream:
        stream.write(program.buffer)


def _quantized(model: torch.nn.Module, examples: list[torch.Tensor]) -> torch.nn.Module:
    """Return the network with static int8, weights per channel, calibrated on the examples."""
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(torch.export.export(model, (examples[0],)).module(), quantizer)
    for example in examples:
        prepared(example)
    quantized: torch.nn.Module = convert_pt2e(prepared)
    return quantized


if __name__ == "__main__":
    write_program(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
