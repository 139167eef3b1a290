"""An int8 matrix product as each engine has it.

`python -m edgefeat_bench._measure.matrix_product FOLDER` writes the model files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["FILES", "OPERATIONS", "main"]

_ROWS, _INNER, _COLUMNS = 512, 1024, 1024
#: Multiplications and additions of one product.
OPERATIONS = 2 * _ROWS * _INNER * _COLUMNS
#: The file for each engine.
FILES = {"litert": "product.tflite", "onnxruntime": "product.onnx"}


def _write_tflite(path: Path) -> None:
    """A fully connected layer, weights and activations int8, by the stock converter."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    weights = tf.constant(random.normal(size=(_INNER, _COLUMNS)).astype(np.float32))

    def product(left: Any) -> Any:
        return tf.matmul(left, weights)

    def examples() -> Iterator[list[Any]]:
        for _ in range(4):
            yield [random.normal(size=(_ROWS, _INNER)).astype(np.float32)]

    signature = [tf.TensorSpec((_ROWS, _INNER), tf.float32)]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(product, signature).get_concrete_function()], tf.Module()
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())


def _write_onnx(path: Path) -> None:
    """The operation that ONNX has for it: uint8 by int8 into int32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).integers(-128, 128, (_INNER, _COLUMNS), np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, [_ROWS, _INNER])],
        [helper.make_tensor_value_info("product", TensorProto.INT32, [_ROWS, _COLUMNS])],
        [numpy_helper.from_array(weights, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


def main(folder: str) -> int:
    """Writes both files."""
    for engine, write in (("onnxruntime", _write_onnx), ("litert", _write_tflite)):
        # Under another name until it is whole: what is there counts as made.
        partial = Path(folder) / f"partial-{FILES[engine]}"
        write(partial)
        partial.replace(Path(folder) / FILES[engine])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
