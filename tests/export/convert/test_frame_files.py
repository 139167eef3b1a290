"""The export of files with a camera frame as their input: what is written, and what it says."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

for name in ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"the export extra is not installed: {name} is missing", allow_module_level=True)

import edgefeat
from edgefeat._bundle.atomic_files import check_new_folder
from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import parse_frame
from edgefeat._images.frames.pixels import frame_of
from edgefeat_export._convert.frames.plan import enlarged


@pytest.fixture(scope="module")
def exported(tiny_model: Path, small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bundle with three frames, and what the command said."""
    folder = tmp_path_factory.mktemp("frames")
    command = [sys.executable, "-m", "edgefeat", "export", str(tiny_model), "--preprocess", "tf"]
    command += ["--layer", "stem", "--layer", "inner/point", "--effort", "quick", "--min-fidelity", "0.9"]
    command += ["--variants", "tflite-float32,onnx-float32,tflite-int8", "--frame-format", "nv21"]
    command += ["--frame-rotation", "90", "--frame", "80x60", "--frame", "rgb-48x40-0", "--frame", "gray-20x16-180"]
    command += ["--calibration", str(small_photos)]
    done = subprocess.run([*command, "-o", str(folder / "tiny.edgefeat")], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return folder / "tiny.edgefeat", done.stderr


def test_every_variant_is_written_with_every_frame(exported: tuple[Path, str]) -> None:
    bundle = edgefeat.Bundle.open(exported[0])
    plain = ("tflite-float32", "onnx-float32", "tflite-int8")
    names = [variant.name for variant in bundle.manifest.variants]
    assert bundle.frames() == ("nv21-80x60-90", "rgb-48x40", "gray-20x16-180")
    assert names == [*plain, *(f"{name}@{frame}" for frame in bundle.frames() for name in plain)]
    for variant in bundle.manifest.variants:
        for figures in variant.fidelity.values():
            assert figures.mean_cosine >= (0.9995 if variant.precision == "float32" else 0.9)
    assert "frame gray-20x16-180 is smaller than the model's input, 32x32, and is enlarged" in exported[1]
    assert all(check.status == "ok" for check in edgefeat.verify(bundle))


def test_the_card_and_the_metadata_describe_the_frame(exported: tuple[Path, str]) -> None:
    from edgefeat_export._bundle.tflite_metadata import METADATA
    from edgefeat_export._convert.tflite import flatbuffer

    card = (exported[0] / "README.md").read_text()
    assert "`tflite-int8@nv21-80x60-90.tflite`" in card
    assert "90 x 80 bytes" in card
    assert 'frame="nv21-80x60-90"' in card
    model = flatbuffer.read(exported[0] / "tflite-int8@nv21-80x60-90.tflite")
    (place,) = [entry.buffer for entry in model.metadata if bytes(entry.name) == METADATA.encode()]
    text = bytes(model.buffers[place].data)
    assert b"A camera frame as it is, 80 x 60 pixels, nv21, bt601: 90 x 80 bytes" in text
    assert b"turned by 90 degrees clockwise" in text


@pytest.mark.parametrize("frame", ["nv21-80x60-90", "rgb-48x40"])
def test_every_bias_has_a_scale(exported: tuple[Path, str], frame: str) -> None:
    """Without one, LiteRT crashes on a Cortex-A72, the processor of a Raspberry Pi 4."""
    from ai_edge_litert import schema_py_generated as schema

    from edgefeat_export._convert.tflite import flatbuffer

    model = flatbuffer.read(exported[0] / f"tflite-float32@{frame}.tflite")
    (graph,) = model.subgraphs
    products = (schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    checked = 0
    for operator in graph.operators:
        tensors = [graph.tensors[index] for index in operator.inputs if index >= 0]
        if flatbuffer.op_code(model, operator) not in products or len(tensors) < 3:
            continue
        rows, weights, bias = tensors
        if bias.type == schema.TensorType.INT32:
            assert bias.quantization.scale == pytest.approx(rows.quantization.scale * weights.quantization.scale)
            checked += 1
    assert checked > 0


def test_a_frame_may_come_from_the_memory_of_a_camera(exported: tuple[Path, str]) -> None:
    extractor = edgefeat.load(exported[0], variant="tflite-int8", frame="nv21-80x60-90")
    assert extractor.variant == "tflite-int8@nv21-80x60-90"
    assert extractor.frame is not None
    frame = frame_of(np.full((80, 60, 3), 90, np.uint8), extractor.frame)
    padded = np.pad(frame, ((0, 0), (0, 48)))
    one, two = extractor.extract_frame(frame), extractor.extract_frame(padded.tobytes(), stride=128)
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    for tap, feature in one.items():
        np.testing.assert_array_equal(feature, two[tap])


def test_a_bundle_with_frames_may_be_replaced_and_other_folders_may_not(
    exported: tuple[Path, str], tmp_path: Path
) -> None:
    copy = shutil.copytree(exported[0], tmp_path / "copy.edgefeat")
    check_new_folder(copy, overwrite=True)
    (copy / "notes@home.txt").touch()
    with pytest.raises(edgefeat.ArgumentError, match=r"contains 'notes@home\.txt'"):
        check_new_folder(copy, overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frame", "641x480", "--frame-format", "nv12"], "even width and height"),
        (["--frame", "640"], "allowed: WIDTHxHEIGHT"),
        (["--frame-format", "rgb"], "--frame-format requires --frame: add --frame WIDTHxHEIGHT"),
        (["--frame-rotation", "0"], "--frame-rotation requires --frame: add --frame WIDTHxHEIGHT"),
        (["--frame-color", "bt709"], "--frame-color requires --frame: add --frame WIDTHxHEIGHT"),
        (
            ["--frame", "nv21-64x48", "--frame-format", "rgb"],
            "--frame-format is for frames whose name leaves it out, unlike --frame nv21-64x48: leave it out",
        ),
        (
            ["--frame", "rgb-64x48", "--frame-color", "bt709"],
            "--frame-color is for YUV frames only, unlike --frame rgb-64x48: leave it out",
        ),
        (
            ["--frame", "rgb-64x48-90", "--frame-rotation", "0"],
            "--frame-rotation is for frames whose name leaves it out, unlike --frame rgb-64x48",
        ),
    ],
)
def test_a_frame_that_cannot_be_is_one_line(exported: tuple[Path, str], arguments: list[str], words: str) -> None:
    model = exported[0].parent / "tiny.keras"
    command = [sys.executable, "-m", "edgefeat", "export", str(model), "--preprocess", "tf", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=exported[0].parent)
    assert done.returncode == 2
    assert words in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("edgefeat:")]) == 1


def test_the_models_own_input_is_no_frame() -> None:
    with pytest.raises(edgefeat.ArgumentError, match="is the model's own input"):
        enlarged(parse_frame("rgb-32x24"), PictureForm(24, 32))
    assert enlarged(parse_frame("bgr-32x24"), PictureForm(24, 32)) is None


def test_mediapipe_takes_an_rgb_frame_at_its_own_size(exported: tuple[Path, str], tmp_path: Path) -> None:
    folder = exported[0]
    form = parse_frame("rgb-48x40")
    coarse = np.random.default_rng(4).integers(0, 256, (4, 5, 3), np.uint8)
    frame = frame_of(np.asarray(Image.fromarray(coarse).resize(form.upright)), form)
    np.savez(tmp_path / "frames.npz", frame)
    script = Path(__file__).parents[1] / "phones" / "mediapipe_embedder.py"
    files = [str(tmp_path / "out.npz"), str(tmp_path / "frames.npz"), str(folder / "tflite-float32@rgb-48x40.tflite")]
    done = subprocess.run([sys.executable, str(script), *files], capture_output=True, text=True, timeout=300)
    if done.returncode == 3:
        pytest.skip(f"MediaPipe is not here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    own = edgefeat.load(folder, variant="tflite-float32", frame="rgb-48x40").extract_frame(frame)
    assert isinstance(own, dict)
    with np.load(tmp_path / "out.npz") as found:
        for tap, feature in own.items():
            np.testing.assert_allclose(found[f"0/{tap}"][0], feature, atol=1e-5)


def test_json_names_the_frame(exported: tuple[Path, str]) -> None:
    manifest = json.loads((exported[0] / "manifest.json").read_text())
    frame = next(one["frame"] for one in manifest["variants"] if one["name"] == "onnx-float32@nv21-80x60-90")
    assert frame == {"format": "nv21", "width": 80, "height": 60, "rotation": 90, "color": "bt601"}
