"""Convert TFLite float32 to TFLite int8 from the pixels to the features by ai-edge-quantizer."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer, recipe_manager
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.utils import tfl_flatbuffer_utils
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat_export._convert.graph import INPUT
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite.int8 import ranges_by_recipe, replaced, use_grids
from edgefeat_export._convert.tflite.integer.facts import OPERATOR_NAMES
from edgefeat_export._convert.tflite.integer.norms import remove_norms
from edgefeat_export._convert.tflite.integer.preprocessing import fold_preprocessing
from edgefeat_export._spec import IntegerInput

__all__ = ["integer", "prepared"]

_OP = schema.BuiltinOperator
_TYPES = schema.TensorType

#: The share of the range that tensors with both signs keep. On 680 photos the mean cosine of MobileNetV2 0.35 is
#: 0.99772 with 1, 0.99793 with 0.9 and 0.99789 with 0.8, the overlap@10 0.938, 0.943 and 0.941.
_NARROWED = np.float32(0.9)


@dataclass(frozen=True, slots=True)
class _Pixels(Sequence[NDArray[np.float32]]):
    """Images as float32 pixels less `zero`, made one by one."""

    pictures: NDArray[np.uint8]
    zero: int

    def __getitem__(self, index: Any) -> Any:
        return self.pictures[index].astype(np.float32) - np.float32(self.zero)

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[index] for index in range(len(self)))


def prepared(float32: Path, normalized: Collection[str], output: Path) -> int:
    """Write the float32 model without preprocessing and without L2 norms, and return the pixel level of its input's 0.

    `normalized` are the taps with an L2 norm. Raises ExportError if the model has another form.
    """
    model = flatbuffer.read(float32)
    zero = fold_preprocessing(model)
    remove_norms(model, normalized)
    output.write_bytes(flatbuffer.serialize(model))
    return zero


def integer(
    float32: Path,
    pictures: NDArray[np.uint8],
    output: Path,
    *,
    normalized: Collection[str],
    input_type: IntegerInput = "uint8",
    wide: Collection[str] = (),
    chosen: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Write `float32` with integers alone, calibrated on `pictures` (N, H, W, 3).

    Its input are pixels, 0 to 255, as `input_type`: int8 is the pixel minus 128. Its outputs are int8 features with one
    scale and zero point each, without the L2 norm that the taps `normalized` have. Operators whose results are named in
    `wide` have 16-bit activations, those in `chosen`, by name, that range. Weights that lie on an int8 grid become the
    integers of that grid. Raises ExportError if the model has another form, or an operator that has no integer form.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "float32.tflite"
        zero = prepared(float32, normalized, source)
        recipe = _recipe(source, wide)
        pixels = {"min": np.array([-zero], np.float32), "max": np.array([255 - zero], np.float32)}
        outputs = flatbuffer.taps(flatbuffer.read(source))
        measured = ranges_by_recipe(source, _Pixels(pictures, zero), recipe)
        narrowed = {name: ends if name in outputs else _narrowed(ends) for name, ends in measured.items()}
        found = {**replaced(narrowed, chosen or {}), INPUT: pixels}
        tool = quantizer.Quantizer(source, recipe.get_quantization_recipe())
        result = tool.quantize(found, enable_progress_bar=False, enable_progress_report=False)
        model, origin = flatbuffer.parse(result.quantized_model), flatbuffer.read(source)
    use_grids(model, origin)
    if input_type == "uint8":
        _take_uint8(model)
    flatbuffer.label(model, flatbuffer.taps(origin))
    _check(model)
    output.write_bytes(flatbuffer.serialize(model))


def _narrowed(ends: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
    """Return the range of a tensor, narrower if it has values of both signs: few values reach its ends.

    They saturate, and all others are rounded less. What a ReLU leaves has an end that many values reach.
    """
    both = ends["min"].min() < 0 < ends["max"].max()
    return {end: value * _NARROWED for end, value in ends.items()} if both else ends


def _recipe(source: Path, wide: Collection[str]) -> recipe_manager.RecipeManager:
    """Return a recipe of 8-bit weights per channel, and 8-bit or, for results named in `wide`, 16-bit activations."""
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    model = flatbuffer.read(source)
    (graph,) = model.subgraphs
    scopes = [
        tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
        for operator in graph.operators
        if any(graph.tensors[i].name.decode() in wide for i in operator.outputs)
    ]
    if scopes:
        pattern = f"^(?:{'|'.join(map(re.escape, scopes))})$"
        recipe.add_static_config(pattern, TFLOperationName.ALL_SUPPORTED, activation_num_bits=16, weight_num_bits=8)
    return recipe


def _take_uint8(model: Any) -> None:
    """Put a conversion from uint8 in front of an int8 model, in place."""
    (graph,) = model.subgraphs
    (given,) = map(int, graph.inputs)
    inner = graph.tensors[given]
    outer = schema.TensorT()
    outer.name, outer.type, outer.shape = b"pixels", _TYPES.UINT8, inner.shape
    outer.quantization = schema.QuantizationParametersT()
    outer.quantization.scale = inner.quantization.scale
    outer.quantization.zeroPoint = [int(inner.quantization.zeroPoint[0]) + 128]
    graph.tensors.append(outer)
    inner.name = b"levels"
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _OP.QUANTIZE
    code.version = 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [len(graph.tensors) - 1], [given]
    operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema.QuantizeOptionsT()
    graph.operators.insert(0, operator)
    graph.inputs = [len(graph.tensors) - 1]


def _check(model: Any) -> None:
    """Raise ExportError with the operators that still compute in float."""
    (graph,) = model.subgraphs
    kinds = {_TYPES.FLOAT32, _TYPES.FLOAT16}
    left = {
        OPERATOR_NAMES[flatbuffer.op_code(model, operator)]
        for operator in graph.operators
        if any(graph.tensors[i].type in kinds for i in [*operator.inputs, *operator.outputs] if i >= 0)
    } - {"QUANTIZE", "DEQUANTIZE"}
    if left:
        raise ExportError(f"its operators {', '.join(sorted(left))} have no integer form here")
