"""Convert only the dense layers of an ONNX float32 model to int8: for transformers, whose other parts suffer in int8.

Layer norms, softmax, GELU and the products of attention have values of very different sizes and few multiplications
(Bondarenko et al.: Understanding and Overcoming the Challenges of Efficient Transformer Quantization, 2021). They stay
in float, which also lets onnxruntime fuse them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime import quantization

from edgefeat_export._convert.onnx.int8 import Pictures, check, float_nodes
from edgefeat_export._spec import Activations

__all__ = ["quantize_dense"]

#: Images to find ranges with; more hardly widen them, and a transformer is slow.
_MOST = 48

#: Operators that only arrange values.
_ARRANGING = frozenset(
    {"Reshape", "Transpose", "Slice", "Concat", "Shape", "Expand", "Split", "Squeeze", "Unsqueeze", "Cast", "Gather"}
)


def quantize_dense(
    float32: Path, pictures: npt.NDArray[np.uint8], output: Path, activations: Activations
) -> tuple[str, ...]:
    """Write `float32` with its dense layers in int8 and return the names of the operators that stay in float.

    Weights are int8 with a scale per channel, inputs uint8 with a zero point; results are float. `pictures`, uint8
    (N, H, W, 3), calibrate static inputs. Head and tail stay in float and are not returned. Raises ExportError if the
    images of a batch affect each other.
    """
    model = onnx.load(float32)
    constants = {tensor.name for tensor in model.graph.initializer}
    around = set(float_nodes(model))
    dense = [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in constants and node.name not in around
    ]
    kept = tuple(
        node.name for node in model.graph.node if node.op_type not in _ARRANGING and node.name not in {*dense, *around}
    )
    del model
    if activations == "dynamic":
        quantization.quantize_dynamic(
            float32,
            output,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=dense,
            extra_options={"MatMulConstBOnly": True},
        )
    else:
        quantization.quantize_static(
            float32,
            output,
            Pictures(pictures[:_MOST]),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            nodes_to_quantize=dense,
            extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )
    check(output)
    return kept
