"""Convert to TFLite float32, float16 and dynamic by TensorFlow's converter, float16 by ai-edge-quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgefeat import ExportError
from edgefeat_export._convert.graph import SavedGraph
from edgefeat_export._convert.tflite import channels, constants, depthwise, flatbuffer
from edgefeat_export._convert.tflite.float16 import round_weights

__all__ = ["dynamic", "float16", "float32"]


def float32(graph: SavedGraph, output: Path) -> None:
    """Write the graph with float32 weights and float32 arithmetic."""
    _write(_converter(graph), graph, output)


def float16(float32: Path, output: Path) -> None:
    """Write the float32 TFLite model with float16 weights, half the size; engines widen them once, at load time.

    Biases and arithmetic stay float32: TensorFlow's converter also narrows the biases, and its features are twice as
    far from Keras's. The rounding errors of each channel add up to zero, see `float16.py`.
    """
    from ai_edge_quantizer import quantizer, recipe_manager
    from ai_edge_quantizer.qtyping import TFLOperationName

    recipe = recipe_manager.RecipeManager()
    recipe.add_weight_only_config(".*", TFLOperationName.ALL_SUPPORTED, num_bits=16, algorithm_key="float_casting")
    source = flatbuffer.read(float32)
    round_weights(source)
    tool = quantizer.Quantizer(bytearray(flatbuffer.serialize(source)), recipe.get_quantization_recipe())
    result = tool.quantize(enable_progress_bar=False, enable_progress_report=False)
    model = flatbuffer.parse(result.quantized_model)
    flatbuffer.label(model, flatbuffer.taps(source))
    output.write_bytes(flatbuffer.serialize(model))


def dynamic(graph: SavedGraph, output: Path) -> None:
    """Write the graph with int8 weights, one scale per channel; activations are quantized at run time.

    TensorFlow's converter keeps small and depthwise weights in float, so its file is three times as fast as
    ai-edge-quantizer's and closer to Keras (MobileNetV2 0.35: cosine 0.996 instead of 0.982).
    """
    import tensorflow as tf

    converter = _converter(graph)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    _write(converter, graph, output)


def _converter(graph: SavedGraph) -> Any:
    from tensorflow.lite.python.lite import TFLiteSavedModelConverterV2

    # What tf.lite.TFLiteConverter.from_saved_model makes, but that keeps the weights in memory, and convert() loads
    # them again.
    converter = TFLiteSavedModelConverterV2(str(graph.path), {"serve"}, [flatbuffer.SIGNATURE])
    # Constants after the flatbuffer: in it, the converter would hold several copies of the weights at once.
    converter._experimental_use_buffer_offset = True
    return converter


def _write(converter: Any, graph: SavedGraph, output: Path) -> None:
    model = flatbuffer.parse(converter.convert())
    if len(model.subgraphs) != 1:
        raise ExportError(
            "the network has a condition or a loop, which edgefeat does not convert: cut it before that "
            "(edgefeat layers lists where)"
        )
    # The converter may reorder the outputs; its signature gives their names.
    (signature,) = model.signatureDefs
    model.subgraphs[0].outputs = [entry.tensorIndex for entry in sorted(signature.outputs, key=lambda one: one.name)]
    constants.fold_constants(model)
    channels.fold_exchange(model)
    depthwise.name_depthwise(model)
    flatbuffer.label(model, graph.taps)
    output.write_bytes(flatbuffer.serialize(model))
