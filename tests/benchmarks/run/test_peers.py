"""What other projects are given: images, files and networks that do not slow them down."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("psutil", reason="needs the bench extra")
pytest.importorskip("tensorflow", reason="needs the export extra")

import onnx
import onnxruntime
import scipy.special
from tests.benchmarks.run.runs import QUICK, bench

from edgefeat._images.form import PictureForm
from edgefeat_bench._contenders.interface import pillow_picture
from edgefeat_bench._records import Run
from edgefeat_bench._setup.stock_onnx import mended


def test_what_keeps_engines_from_opening_kerass_onnx_file_is_mended_and_named(tmp_path: Path) -> None:
    file, kind = tmp_path / "m.onnx", onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("Erfc", ["x"], ["inner"]), onnx.helper.make_node("Neg", ["inner"], ["y"])]
    x, y, left = (onnx.helper.make_tensor_value_info(name, kind, [3]) for name in ("x", "y", "embedding/Less/x:0"))
    graph = onnx.helper.make_graph(nodes, "g", [x, left], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8), file)
    said = mended(file)
    assert "the operator Erfc, which ONNX does not have" in said
    assert "an input that nothing reads" in said
    values = np.array([-1.5, 0.0, 2.0], np.float32)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": values})[0], -scipy.special.erfc(values), atol=1e-6)
    before = file.read_bytes()
    assert mended(file) == ""
    assert file.read_bytes() == before


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK"])
def test_pillows_contenders_prepare_an_image_as_keras_loads_it(mode: str, tmp_path: Path) -> None:
    import keras

    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    file = str(tmp_path / ("image.png" if mode == "P" else "image.jpg"))
    Image.fromarray(pixels).convert(mode).save(file)
    found, *_ = pillow_picture(file, PictureForm(40, 50, "stretch"))
    wanted = keras.utils.load_img(file, target_size=(40, 50), interpolation="bilinear")
    np.testing.assert_array_equal(found, np.asarray(wanted))


@pytest.mark.skipif(any(find_spec(name) is None for name in ("ncnn", "pnnx")), reason="needs ncnn and pnnx")
@pytest.mark.parametrize("padded", ["pixels", "map", "both"])
def test_ncnn_pads_where_pnnx_leaves_a_layer_that_ncnn_does_not_have(padded: str, photos: Path, tmp_path: Path) -> None:
    import keras

    import edgefeat_export

    pixels = [keras.layers.ZeroPadding2D(((2, 1), (0, 3)))] * (padded != "map")
    maps = [keras.layers.ZeroPadding2D(1), keras.layers.MaxPooling2D(3, 2)] * (padded != "pixels")
    keras.utils.set_random_seed(3)
    first, last = keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Conv2D(8, 3)
    model = keras.Sequential([keras.Input((32, 32, 3)), *pixels, first, *maps, last])
    model.save(tmp_path / "own.keras")
    variants = ["tflite-float32", "onnx-float32"]
    bundle, own = tmp_path / "own.edgefeat", tmp_path / "own.keras"
    edgefeat_export.export(own, bundle, preprocess="unit", variants=variants, calibration=photos)
    given: list[str | Path] = ["--model", own, "--calibration", photos, "--threads", "1", "-o", tmp_path]
    done = bench("run", bundle, photos, *QUICK, "--only", "ncnn", *given)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*-1t.json")
    (found,) = Run.read(path).results
    assert (found.status, found.reason) == ("ok", "")
    assert found.minimum_cosine is not None
    assert found.minimum_cosine > 0.999


#: In a process of its own, as contenders are: PyTorch and TensorFlow do not bear each other in one.
TIMM = """
import sys
from types import SimpleNamespace
import edgefeat, torch
from edgefeat_bench._contenders.peers.timm_network import timm_network
backbone = SimpleNamespace(name=sys.argv[1], options={})
edgefeat.Bundle.open = lambda _: SimpleNamespace(manifest=SimpleNamespace(backbone=backbone))
network = timm_network("bundle")
with torch.inference_mode():
    feature = network(torch.zeros(1, 3, 224, 224))
print(sum(one.numel() for one in network.parameters()), *feature.shape)
"""


@pytest.mark.skipif(any(find_spec(name) is None for name in ("torch", "timm")), reason="needs torch and timm")
@pytest.mark.parametrize(
    ("name", "kerass"),
    [
        ("vgg16", "VGG16"),
        ("mobilenet_v3_small", "MobileNetV3Small"),
        ("mobilenet_v2", "MobileNetV2"),
        ("resnet50", "ResNet50"),
    ],
)
def test_timms_network_is_kerass_and_ends_with_its_features(name: str, kerass: str) -> None:
    import keras

    done = subprocess.run([sys.executable, "-c", TIMM, name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parameters, batch, size = map(int, done.stdout.split())
    build = getattr(keras.applications, kerass)
    model = build(include_top=False, pooling="avg", weights=None, input_shape=(224, 224, 3))
    # What batch normalization has seen are parameters of Keras's, not of timm's.
    trained = sum(int(np.prod(one.shape)) for one in model.trainable_weights)
    assert parameters == pytest.approx(trained, rel=0.005)
    assert (batch, size) == (1, model.output_shape[1])
