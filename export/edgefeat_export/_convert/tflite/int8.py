"""Convert TFLite float32 to TFLite int8 by ai-edge-quantizer: trunk in int8, head and tail in float."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import calibrator, quantizer, recipe_manager
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.utils import qsv_utils, tfl_flatbuffer_utils, tfl_interpreter_utils

from edgefeat import ExportError
from edgefeat._engines.device.cores import available_cores
from edgefeat_export._convert import grid
from edgefeat_export._convert.graph import INPUT
from edgefeat_export._convert.tflite import delegate, flatbuffer, tail
from edgefeat_export._convert.tflite.facts import OUTPUT_AXIS

__all__ = ["Ranges", "int8", "ranges", "ranges_by_recipe", "replaced", "use_grids"]

#: The minimum and the maximum by tensor name.
Ranges = Mapping[str, Mapping[str, npt.NDArray[Any]]]


def ranges(float32: Path, pictures: npt.NDArray[np.uint8], kept: Collection[int] = ()) -> Ranges:
    """Return the range of every tensor of the trunk over `pictures` (N, H, W, 3)."""
    return ranges_by_recipe(float32, pictures, _recipe(float32, kept))


def ranges_by_recipe(
    float32: Path, inputs: Sequence[npt.NDArray[Any]] | npt.NDArray[Any], recipe: recipe_manager.RecipeManager
) -> Ranges:
    """Return the range over `inputs`, each (H, W, 3), of every tensor that the recipe quantizes.

    Quantizer.calibrate would take a moving average of each image's range instead, which depends on the order. It runs
    only on the first image, to find the tensors that matter; this function measures the other images, which takes half
    the time.
    """
    model, threads = float32.read_bytes(), available_cores()
    first = calibrator.Calibrator(model, num_threads=threads, qsv_update_func=qsv_utils.min_max_update)
    first.calibrate({flatbuffer.SIGNATURE: [{INPUT: inputs[0][np.newaxis]}]}, recipe)
    found: dict[str, dict[str, npt.NDArray[Any]]] = first.get_model_qsvs()
    del first
    interpreter = tfl_interpreter_utils.create_tfl_interpreter(model, num_threads=threads)
    places = {name: index for name, index in _computed(float32).items() if name in found}
    (given,) = interpreter.get_input_details()
    for picture in itertools.islice(inputs, 1, None):
        interpreter.set_tensor(given["index"], picture[np.newaxis])
        interpreter.invoke()
        for name, index in places.items():
            least, greatest = _extremes(interpreter, index)
            ends = found[name]
            found[name] = {"min": np.minimum(ends["min"], least), "max": np.maximum(ends["max"], greatest)}
    return found


def _extremes(interpreter: Any, index: int) -> tuple[Any, Any]:
    """Return the minimum and the maximum of a tensor without copying it; no view of it may exist during a run."""
    values = interpreter.tensor(index)()
    return values.min(), values.max()


def _computed(float32: Path) -> dict[str, int]:
    """Return the index of every non-constant tensor of the model, by name."""
    model = flatbuffer.read(float32)
    tensors = enumerate(model.subgraphs[0].tensors)
    return {tensor.name.decode(): index for index, tensor in tensors if flatbuffer.constant(model, tensor) is None}


def int8(
    float32: Path,
    pictures: npt.NDArray[np.uint8],
    output: Path,
    *,
    kept: Collection[int] = (),
    known: Ranges | None = None,
    chosen: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Write `float32` with its trunk in int8, calibrated on `pictures` (N, H, W, 3).

    Weights that already lie on an int8 grid, as corrected ones do, become the integers of that grid. The operators with
    the indices `kept` stay in float. `known` are the `ranges` of the whole trunk, if already computed. Activations in
    `chosen`, by name, have that range instead of the observed one.
    """
    tool = quantizer.Quantizer(float32, _recipe(float32, kept).get_quantization_recipe())
    found = replaced(ranges(float32, pictures, kept) if known is None else known, chosen or {})
    result = tool.quantize(found, enable_progress_bar=False, enable_progress_report=False)
    model = flatbuffer.parse(result.quantized_model)
    source = flatbuffer.read(float32)
    use_grids(model, source)
    flatbuffer.label(model, flatbuffer.taps(source))
    output.write_bytes(flatbuffer.serialize(model))


def replaced(found: Ranges, chosen: Mapping[str, tuple[float, float]]) -> Ranges:
    """Return the ranges `found`, with those that are `chosen` in their place."""
    return {
        name: {"min": np.full_like(ends["min"], chosen[name][0]), "max": np.full_like(ends["max"], chosen[name][1])}
        if name in chosen
        else ends
        for name, ends in found.items()
    }


def use_grids(model: Any, source: Any) -> None:
    """Write integers and scales of the weights of `source` that lie on a grid to the int8 `model`, in place."""
    floats = {tensor.name: tensor for tensor in source.subgraphs[0].tensors}
    (graph,) = model.subgraphs
    for operator in graph.operators:
        axis = OUTPUT_AXIS.get(flatbuffer.op_code(model, operator))
        if axis is None:
            continue
        weights = graph.tensors[operator.inputs[1]]
        if weights.type != schema.TensorType.INT8 or weights.name not in floats:
            continue
        values = _floats(source, floats[weights.name])
        scales = grid.found_scales(np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1))
        if scales is None:
            continue
        shape = [-1 if index == axis else 1 for index in range(values.ndim)]
        _write(model, weights, values / scales.astype(np.float32).reshape(shape), np.int8, scales)
        bias = graph.tensors[operator.inputs[2]] if len(operator.inputs) > 2 and operator.inputs[2] >= 0 else None
        if bias is not None and bias.name in floats:
            scales = scales * float(graph.tensors[operator.inputs[0]].quantization.scale[0])
            kind = np.int64 if bias.type == schema.TensorType.INT64 else np.int32
            _write(model, bias, _floats(source, floats[bias.name]) / scales, kind, scales)


def _floats(model: Any, tensor: Any) -> npt.NDArray[np.float32]:
    content = flatbuffer.constant(model, tensor)
    if content is None:
        raise ExportError(f"tensor {tensor.name.decode()} is not constant: its weights cannot be converted to int8")
    return np.frombuffer(content, np.float32).reshape(tensor.shape)


def _write(model: Any, tensor: Any, levels: npt.NDArray[Any], kind: type[Any], scales: npt.NDArray[Any]) -> None:
    """Write the nearest integers of `levels`, which this changes."""
    limits = np.iinfo(kind)
    np.clip(np.rint(levels, out=levels), limits.min, limits.max, out=levels)
    model.buffers[tensor.buffer].data = levels.astype(kind).reshape(-1).view(np.uint8)
    tensor.quantization.scale = scales.astype(np.float32).tolist()


def _recipe(float32: Path, kept: Collection[int]) -> recipe_manager.RecipeManager:
    """Return a recipe of 8-bit weights per channel and 8-bit activations except in the head, the tail and `kept`.

    Operators that XNNPACK does not compute in int8 stay in float, too: there they cost less.
    """
    model = flatbuffer.read(float32)
    (graph,) = model.subgraphs
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    scopes = [
        tfl_flatbuffer_utils.get_op_scope(graph.operators[i], graph.tensors)
        for i in sorted({*tail.float_operators(model), *delegate.outside(model), *kept})
    ]
    if scopes:
        recipe.add_quantization_config(
            f"^(?:{'|'.join(map(re.escape, scopes))})$", TFLOperationName.ALL_SUPPORTED, algorithm_key="no_quantize"
        )
    # The model's input and outputs stay uint8 and float32; ai-edge-quantizer has pseudo-operators for both.
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        recipe.add_quantization_config(".+", end, algorithm_key="no_quantize")
    return recipe
