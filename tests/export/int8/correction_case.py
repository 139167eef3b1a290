"""A small network for the tests of the int8 correction: its float32 files, corrected ones, and int8 files."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

for name in ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

import keras

from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import conversion as tflite
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._quantize.correction.corrected_files import Models, write_corrected
from edgefeat_export._quantize.correction.pieces import Correction
from edgefeat_export._quantize.uncorrected import Guard, Uncorrected

SIZE = 32

EVERYTHING = Correction()

Pictures = npt.NDArray[np.uint8]


def some_pictures(count: int, seed: int) -> Pictures:
    """Smooth colour fields with noise: like photos in that neighbours resemble each other."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 4, 4, 3))
    fine = coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2) + random.normal(0, 12, (count, SIZE, SIZE, 3))
    return np.clip(fine, 0, 255).astype(np.uint8)


def network() -> keras.Model:
    """Blocks of MobileNetV2's kind, with a dead channel, a narrow linear tensor and a residual stream."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = keras.ops.cast(image, "float32") / 127.5 - 1.0
    first = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu6")
    x = first(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = layers.Conv2D(6, 1)(x)
    x = layers.Conv2D(32, 1, activation="relu6")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6")(x)
    stream = layers.Conv2D(24, 1)(x)
    y = layers.Conv2D(48, 1, activation="relu6")(stream)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(y)
    stream = layers.Add()([stream, layers.Conv2D(24, 1)(y)])
    x = layers.Conv2D(64, 3, padding="same", activation="relu")(stream)
    model = keras.Model(image, layers.UnitNormalization()(layers.GlobalAveragePooling2D()(x)))
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if variable.path.endswith("bias"):
            variable.assign(random.normal(0.3, 0.3, variable.shape))
    kernel, bias = first.get_weights()
    kernel[..., 2] *= 1e-12
    first.set_weights([kernel, bias])
    return model


@dataclass(frozen=True)
class Case:
    """One network: its float32 files, corrected ones with everything on, and int8 files of both."""

    folder: Path
    float32: Models
    corrected: Models
    int8: Models
    pictures: Pictures
    checking: Pictures


def case_in(folder: Path) -> Case:
    """Return the case whose files `write_case` has written into the folder."""
    names = ("float32", "corrected", "int8")
    made = {name: Models(folder / f"{name}.tflite", folder / f"{name}.onnx") for name in names}
    return Case(folder, **made, pictures=some_pictures(40, seed=1), checking=some_pictures(24, seed=2))


def write_case(folder: Path) -> None:
    """Write the files of the case into the folder."""
    case = case_in(folder)
    tflite.float32(save_graph(network(), ["feature"], folder / "graph"), case.float32.tflite)
    to_onnx.float32(case.float32.tflite, case.float32.onnx)
    *_, chosen = write_corrected(case.float32, case.corrected, case.pictures, EVERYTHING, ())
    tflite_int8.int8(case.corrected.tflite, case.pictures, case.int8.tflite, chosen=chosen)
    onnx_int8.quantize(case.corrected.onnx, case.pictures, case.int8.onnx, chosen=chosen)


def guard_of(
    float32: Models,
    folder: Path,
    pictures: Pictures,
    checking: Pictures,
    *,
    nodes: tuple[str, ...] = (),
    operators: tuple[int, ...] = (),
) -> Guard:
    """Return the comparison of both formats that an export makes; its files are in `folder`."""
    quantized = folder / "stock.onnx"
    onnx_int8.quantize(float32.onnx, pictures, quantized)
    stock = Uncorrected(float32, quantized, tflite_int8.ranges(float32.tflite, pictures))
    made = Models(folder / "compared.tflite", folder / "compared.onnx")
    return Guard(stock, made, ("tflite", "onnx"), nodes, operators, pictures, checking)
