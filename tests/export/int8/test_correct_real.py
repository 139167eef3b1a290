"""The int8 correction on real weights and photos: the figures that int8 must reach."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for name in ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

import keras
import onnx
from tests.conftest import LONG
from tests.export.int8.correction_case import guard_of

from edgefeat._bundle.fidelity import measure
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture
from edgefeat._images.sources.folders import pictures_in
from edgefeat_export._convert.graph import save_graph
from edgefeat_export._convert.onnx import conversion as to_onnx
from edgefeat_export._convert.onnx import int8 as onnx_int8
from edgefeat_export._convert.tflite import conversion as tflite
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite import int8 as tflite_int8
from edgefeat_export._images.synthetic import dead_leaves
from edgefeat_export._quantize.correction.corrected_files import Models, correct
from edgefeat_export._quantize.correction.pieces import Correction

SIZE = 224
MOBILENET_V2 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
MOBILENET = "mobilenet_2_5_224_tf_no_top.h5"


def photos(folder: Path, step: int) -> Any:
    form = PictureForm(height=SIZE, width=SIZE, fit="stretch")
    return np.stack([read_picture(path, form, "exact") for path in sorted(pictures_in(folder))[::step]])


def network(file: Path) -> keras.Model:
    image = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    make, alpha = (
        (keras.applications.MobileNetV2, 0.35) if file.name == MOBILENET_V2 else (keras.applications.MobileNet, 0.25)
    )
    trunk = make(alpha=alpha, include_top=False, weights=str(file), input_shape=(SIZE, SIZE, 3))
    maps = trunk(keras.ops.cast(image, "float32") / 127.5 - 1.0)
    return keras.Model(image, keras.layers.UnitNormalization()(keras.layers.GlobalAveragePooling2D()(maps)))


@pytest.fixture(scope="module")
def flowers(shared_data: Path) -> Any:
    return photos(shared_data / "flowers17", 2)


# What is asked for is 0.995, 0.985 and 0.935 or 0.925 with photos, 0.993 and 0.92 or 0.91 with generated pictures.
def operations(path: Path) -> Counter[str]:
    """How often the file has each operation."""
    if path.suffix == ".onnx":
        return Counter(node.op_type for node in onnx.load(path).graph.node)
    model = flatbuffer.read(path)
    codes = [str(code.builtinCode) for code in model.operatorCodes]
    return Counter(codes[operator.opcodeIndex] for operator in model.subgraphs[0].operators)


@pytest.mark.parametrize(
    ("file", "calibration", "mean", "minimum", "overlap"),
    [
        pytest.param(MOBILENET_V2, "photos", 0.9965, 0.988, 0.940, marks=LONG),
        (MOBILENET, "photos", 0.9975, 0.990, 0.932),
        pytest.param(MOBILENET_V2, "leaves", 0.9965, 0.985, 0.938, marks=LONG),
    ],
)
def test_int8_is_as_near_as_it_is_held_to_and_as_fast_as_without(
    shared_data: Path,
    flowers: Any,
    features: Callable[[Path, Any], Any],
    tmp_path: Path,
    file: str,
    calibration: str,
    mean: float,
    minimum: float,
    overlap: float,
) -> None:
    model = network(shared_data / "keras-home" / "models" / file)
    pictures = (
        photos(shared_data / "calibration", 1) if calibration == "photos" else dead_leaves(100, SIZE, SIZE, seed=0)
    )
    expected = np.concatenate([np.asarray(model(flowers[i : i + 20], training=False)) for i in range(0, 340, 20)])
    made = {
        n: Models(tmp_path / f"{n}.tflite", tmp_path / f"{n}.onnx") for n in ("float32", "corrected", "int8", "stock")
    }
    tflite.float32(save_graph(model, ["feature"], tmp_path / "graph"), made["float32"].tflite)
    to_onnx.float32(made["float32"].tflite, made["float32"].onnx)
    # As an export does it: a fifth of the photos is kept apart.
    guard = guard_of(made["float32"], tmp_path, pictures[20:], pictures[:20])
    report = correct(made["float32"], made["corrected"], pictures[20:], comparison=guard)
    assert report.used == Correction()
    assert not report.skipped
    for source, target, chosen in (("corrected", "int8", report.ranges), ("float32", "stock", None)):
        tflite_int8.int8(made[source].tflite, pictures[20:], made[target].tflite, chosen=chosen)
        onnx_int8.quantize(made[source].onnx, pictures[20:], made[target].onnx, chosen=chosen)
    for path in (made["int8"].tflite, made["int8"].onnx):
        found = measure(features(path, flowers), expected)
        assert found.mean_cosine >= mean, path.name
        assert found.minimum_cosine >= minimum, path.name
        assert found.overlap is not None
        assert found.overlap >= overlap, path.name
    files = [made[name].tflite for name in ("int8", "stock")] + [made[name].onnx for name in ("int8", "stock")]
    for corrected, stock in (files[:2], files[2:]):
        assert operations(corrected) == operations(stock)  # as fast as without
    assert files[0].stat().st_size <= 1.02 * files[1].stat().st_size
    assert files[2].stat().st_size <= 1.02 * files[3].stat().st_size
