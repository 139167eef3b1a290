"""TFLite float32 -> TFLite int8, by ai-edge-quantizer: trunk in int8, head and tail in float."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_quantizer import calibrator, quantizer, recipe_manager
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.utils import qsv_utils, tfl_flatbuffer_utils

from edgefeat_export._convert import flatbuffer, tail
from edgefeat_export._convert.graph import INPUT

__all__ = ["Ranges", "int8", "ranges"]

#: By tensor name: the least and the greatest value seen.
Ranges = Mapping[str, Mapping[str, npt.NDArray[Any]]]


def ranges(float32: Path, pictures: npt.NDArray[np.uint8]) -> Ranges:
    """The extremes of every tensor of the trunk over `pictures` (N, H, W, 3).

    Quantizer.calibrate would take a moving average of each picture's extremes instead, which depends on the order.
    """
    measured = calibrator.Calibrator(
        float32.read_bytes(), num_threads=os.cpu_count() or 1, qsv_update_func=qsv_utils.min_max_update
    )
    measured.calibrate({flatbuffer.SIGNATURE: [{INPUT: picture[np.newaxis]} for picture in pictures]}, _recipe(float32))
    found: Ranges = measured.get_model_qsvs()
    return found


def int8(float32: Path, pictures: npt.NDArray[np.uint8], output: Path) -> None:
    """Write `float32` with its trunk in int8, calibrated on `pictures` (N, H, W, 3)."""
    tool = quantizer.Quantizer(float32, _recipe(float32).get_quantization_recipe())
    result = tool.quantize(ranges(float32, pictures), enable_progress_bar=False, enable_progress_report=False)
    model = flatbuffer.parse(result.quantized_model)
    flatbuffer.label(model, flatbuffer.taps(flatbuffer.read(float32)))
    output.write_bytes(flatbuffer.serialize(model))


def _recipe(float32: Path) -> recipe_manager.RecipeManager:
    """8-bit weights per channel and 8-bit activations everywhere but in the head and the tail."""
    model = flatbuffer.read(float32)
    (graph,) = model.subgraphs
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    kept = [
        tfl_flatbuffer_utils.get_op_scope(graph.operators[i], graph.tensors)
        for i in sorted(tail.float_operators(model))
    ]
    if kept:
        recipe.add_quantization_config(
            f"^(?:{'|'.join(map(re.escape, kept))})$", TFLOperationName.ALL_SUPPORTED, algorithm_key="no_quantize"
        )
    # The model's own ends stay uint8 and float32; these two are pseudo-operators of AEQ.
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        recipe.add_quantization_config(".+", end, algorithm_key="no_quantize")
    return recipe
