"""int8 inference compared with the matrix product of the same engine, which shows what the machine can do.

Run as a module with a folder, it writes the model files of the products.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgefeat import EdgefeatError
from edgefeat._engines.selection import candidates
from edgefeat_bench._measure.timed_calls import Work, timed_calls
from edgefeat_bench._processes import run_module
from edgefeat_bench._records import Peak
from edgefeat_bench._setup.setup import Setup

_SECONDS, _PASSES = 1.0, 2
_ROWS, _INNER, _COLUMNS = 512, 1024, 1024
#: Multiplications and additions of one product.
_OPERATIONS = 2 * _ROWS * _INNER * _COLUMNS
_FILES = {"litert": "product.tflite", "onnxruntime": "product.onnx"}


def peaks(setup: Setup, tell: Callable[[str], None]) -> tuple[Peak, ...]:
    """Return one entry for each int8 variant and engine; none without a Keras model, whose operations are counted."""
    if not setup.facts.operations:
        return ()
    folder, threads = setup.settings.prepared, setup.settings.threads
    if not all((folder / name).exists() for name in _FILES.values()):
        tell("building the matrix products")
        try:
            run_module("edgefeat_bench._measure.peak", str(folder))
        except EdgefeatError as error:
            tell(f"the matrix products could not be built: {error}")
            return ()
    found = []
    for choice in candidates(setup.bundle):
        engine, variant = choice.engine.name, choice.variant.name
        if choice.variant.precision != "int8" or engine not in _FILES:
            continue
        tell(f"{variant} on {engine} compared with a matrix product")
        model = Work("edgefeat", _SECONDS, threads, str(setup.bundle.path), variant, engine)
        product = Work("product", _SECONDS, threads, str(folder / _FILES[engine]), engine=engine)
        try:
            pairs = [(timed_calls(model), timed_calls(product)) for _ in range(_PASSES)]
        except EdgefeatError as error:
            tell(str(error))
            continue
        ours, best = (tuple(one for part in parts for one in part) for parts in zip(*pairs, strict=True))
        found.append(Peak(engine, variant, setup.facts.operations, ours, _OPERATIONS, best))
    return tuple(found)


def _write_tflite(path: Path) -> None:
    """Write a fully connected layer with int8 weights and activations, by the stock converter."""
    import keras
    import tensorflow as tf

    random = np.random.default_rng(0)
    layer = keras.layers.Dense(_COLUMNS, use_bias=False, kernel_initializer="random_normal")
    model = keras.Sequential([keras.Input(batch_shape=(_ROWS, _INNER)), layer])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([random.normal(size=(_ROWS, _INNER)).astype("f4")] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())


def _write_onnx(path: Path) -> None:
    """Write ONNX's own operation for it: uint8 by int8 into int32."""
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
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def _main(folder: Path) -> int:
    for engine, write in (("onnxruntime", _write_onnx), ("litert", _write_tflite)):
        partial = folder / f"partial-{_FILES[engine]}"  # until it is complete: what exists counts as made
        write(partial)
        partial.replace(folder / _FILES[engine])
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
