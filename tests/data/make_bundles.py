"""Makes the small bundles that the device-side tests run on: `.venv/bin/python tests/data/make_bundles.py`.

Their weights are random and their pictures generated; TensorFlow is needed here so that it is not needed there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

import edgefeat_export

HERE = Path(__file__).parent


def tiny_model() -> keras.Model:
    """A network of 400 parameters with what larger ones are made of: a batch norm, a depthwise, an inner model."""
    keras.utils.set_random_seed(7)
    inner = keras.Sequential(
        [
            keras.Input((16, 16, 8)),
            keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(6.0),
            keras.layers.Conv2D(16, 1, name="point"),
        ],
        name="inner",
    )
    picture = keras.Input((32, 32, 3))
    features = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(picture)
    features = keras.layers.ReLU(name="last")(inner(features))
    classes = keras.layers.Dense(10, name="classes")(keras.layers.GlobalAveragePooling2D()(features))
    return keras.Model(picture, classes, name="tiny")


def main() -> None:
    """Writes the bundles beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.keras"
        tiny_model().save(path)
        for name, layers in (("one_tap", ["last"]), ("two_taps", ["stem", "inner/point"])):
            edgefeat_export.export(
                path, HERE / f"{name}.edgefeat", preprocess="tf", layers=layers, overwrite=True, tell=print
            )
        edgefeat_export.export(
            path,
            HERE / "integers.edgefeat",
            preprocess="tf",
            layers=["last"],
            variants=("tflite-float32", "tflite-integer"),
            overwrite=True,
            tell=print,
        )
        edgefeat_export.export(
            path,
            HERE / "frames.edgefeat",
            preprocess="tf",
            layers=["last"],
            variants=("tflite-float32", "onnx-float32"),
            frames=("nv21-64x48-90", "i420-64x48", "bgr-64x48", "rgba-48x64-180"),
            overwrite=True,
            tell=print,
        )


if __name__ == "__main__":
    main()
