"""Make the six files of the default variants by the stock tools alone, as a script from their documentation would.

`python -m tests.export.tables.stock_conversion MODEL.keras PHOTOS FOLDER`: no correction, nothing measured, nothing
checked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray
from onnxruntime import quantization
from PIL import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """The images, one by one."""

    def __init__(self, name: str, images: list[NDArray[np.float32]]) -> None:
        self.rows = iter([{name: image} for image in images])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next image, or None."""
        return next(self.rows, None)


def main() -> int:
    """Convert, and write the files to the folder."""
    model_path, photos, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    model = keras.models.load_model(model_path, compile=False)
    height, width = model.input_shape[1:3]
    images = []
    for path in sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES)[:100]:
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("RGB").resize((width, height)), np.float32)
        images.append(pixels[np.newaxis] / 127.5 - 1)

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for image in images:
            yield [image]

    for name in ("float32", "float16", "dynamic", "int8"):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if name != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if name == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if name == "int8":
            converter.representative_dataset = representative
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    signature = [tf.TensorSpec([None, height, width, 3], tf.float32, name="image")]
    converted, _ = tf2onnx.convert.from_function(tf.function(model), input_signature=signature, opset=18)
    onnx.save(converted, folder / "float32.onnx")
    quantization.quantize_static(
        folder / "float32.onnx", folder / "int8.onnx", Reader("image", images), per_channel=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
