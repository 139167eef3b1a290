"""Runs where TensorFlow is: a bundle's backbone through TensorFlow's own converter, as one does without edgefeat.

    python stock.py BUNDLE FOLDER

Writes FOLDER/float32.tflite and FOLDER/int8.tflite with untrained weights, which take as many instructions as trained
ones, and prints JSON: `preprocessing` (tf, caffe, torch or none) and `size`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tests.arm.counting.marking import preprocessed

from edgefeat._bundle.golden import read_golden
from edgefeat._bundle.reader import Bundle
from edgefeat_export._models.backbones import Backbone, backbone_named

_MODES = ("tf", "caffe", "torch", "none")


def main(folder: str, output: str) -> None:
    """Writes both and prints what a program needs to run them."""
    bundle = Bundle.open(folder)
    about, picture = bundle.manifest.backbone, bundle.manifest.picture
    backbone = backbone_named(about.name)
    options = {name: float(value) for name, value in about.options.items()}
    shape = (picture.height, picture.width, 3)
    model = backbone.factory(weights=None, include_top=False, pooling="avg", input_shape=shape, **options)
    mode = _mode(backbone)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    Path(output, "float32.tflite").write_bytes(converter.convert())
    pictures = read_golden(bundle).pictures.astype(np.float32)

    def calibration() -> Iterator[list[np.ndarray]]:
        for one in pictures:
            yield [preprocessed(one[np.newaxis], mode).astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    Path(output, "int8.tflite").write_bytes(converter.convert())
    print("\n" + json.dumps({"preprocessing": mode, "size": shape[:2]}))


def _mode(backbone: Backbone) -> str:
    """Which of keras.applications' ways of preprocessing the backbone's is, found by trying."""
    ramp = np.linspace(0, 255, 48, dtype=np.float32).reshape(1, 4, 4, 3)
    wanted = np.asarray(backbone.preprocess(ramp.copy()))
    for mode in _MODES:
        if np.allclose(preprocessed(ramp, mode), wanted, atol=1e-4):
            return mode
    raise SystemExit(f"{backbone.name} is preprocessed in none of the ways {', '.join(_MODES)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
