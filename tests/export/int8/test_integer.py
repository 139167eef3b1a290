"""The variant without floats: made, gated and refused by the export; compiled and run by npu and micro."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the export extra")

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image

import edgefeat
import edgefeat_export
from edgefeat._bundle.manifest import Fidelity, Gate, Integers
from edgefeat._images.frames.form import parse_frame
from edgefeat._images.frames.pixels import frame_of, rgb_of
from edgefeat._images.picture import read_picture
from edgefeat_export._convert.tflite import flatbuffer
from edgefeat_export._convert.tflite.integer import conversion
from edgefeat_export._convert.tflite.integer.facts import integer_facts
from edgefeat_export._measure.gate import unfaithful

INTEGERS = Path(__file__).parents[2] / "data" / "integers.edgefeat"
SIZE = 96


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgefeat", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def integers_of(extractor: edgefeat.Extractor) -> Integers:
    (variant,) = [one for one in extractor.bundle.manifest.variants if one.name == "tflite-integer"]
    assert variant.integers is not None
    return variant.integers


@pytest.fixture(scope="module")
def mobilenet(small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> edgefeat.Extractor:
    """The first half of MobileNet 0.25 at 96 x 96, which takes all of its arena, with floats and without."""
    output = tmp_path_factory.mktemp("bundles") / "mobilenet.edgefeat"
    # Random weights lose more in 8 bits than trained ones.
    extractor = edgefeat_export.export(
        "mobilenet",
        output,
        alpha=0.25,
        input_size=SIZE,
        weights="random",
        layers=["conv_pw_6_relu"],
        calibration=small_photos,
        variants=["tflite-float32", "tflite-integer"],
        frames=["rgb-160x120", "nv21-128x96-90"],
        min_fidelity=0.85,
        correction=["bias", "rounding"],
    )
    return edgefeat.load(extractor.bundle, variant="tflite-integer")


def test_no_tensor_has_floats(mobilenet: edgefeat.Extractor) -> None:
    (graph,) = flatbuffer.read(mobilenet.bundle.path / "tflite-integer.tflite").subgraphs
    kinds = schema.TensorType
    assert {tensor.type for tensor in graph.tensors} <= {kinds.UINT8, kinds.INT8, kinds.INT32}
    assert [graph.tensors[i].type for i in graph.inputs] == [kinds.UINT8]
    assert [graph.tensors[i].type for i in graph.outputs] == [kinds.INT8]
    assert integers_of(mobilenet).operators == ("CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "QUANTIZE")


def test_features_are_those_of_keras(mobilenet: edgefeat.Extractor) -> None:
    with np.load(mobilenet.bundle.path / "golden.npz") as golden:
        (features,), keras = mobilenet.run(golden["pictures"]), golden["keras/conv_pw_6_relu"]
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, atol=1e-5)
    assert (features * keras).sum(1).mean() > 0.85


def first_convolution_input(file: Path, frame: NDArray[np.uint8]) -> NDArray[np.int8]:
    """What the first convolution of a file reads, run as far as that."""
    model = flatbuffer.read(file)
    (graph,) = model.subgraphs
    codes = [flatbuffer.op_code(model, one) for one in graph.operators]
    first = codes.index(schema.BuiltinOperator.CONV_2D)
    found = int(graph.operators[first].inputs[0])
    graph.operators, graph.outputs, model.signatureDefs = graph.operators[:first], [found], []
    interpreter = Interpreter(model_content=bytes(flatbuffer.serialize(model)), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], frame[np.newaxis])
    interpreter.invoke()
    levels: NDArray[np.int8] = interpreter.get_tensor(found)
    return levels


@pytest.mark.parametrize("frame", ["rgb-160x120", "nv21-128x96-90"])
def test_a_frame_is_converted_without_floats(mobilenet: edgefeat.Extractor, frame: str) -> None:
    file = mobilenet.bundle.path / f"tflite-integer@{frame}.tflite"
    kinds = schema.TensorType
    found = {tensor.type for tensor in flatbuffer.read(file).subgraphs[0].tensors}
    assert found <= {kinds.UINT8, kinds.INT8, kinds.INT32}
    form = parse_frame(frame)
    # Colours that no format clips.
    coarse = np.random.default_rng(3).integers(80, 176, (5, 6, 3), np.uint8)
    pixels = frame_of(np.asarray(Image.fromarray(coarse).resize(form.upright, Image.Resampling.BICUBIC)), form)
    expected = read_picture(rgb_of(pixels, form), mobilenet.bundle.manifest.picture, "exact").astype(int)
    levels = first_convolution_input(file, pixels)[0].astype(int) + 128
    assert np.abs(levels - expected).max() <= 3
    assert np.abs(levels - expected).mean() <= 0.5


def test_the_facts_of_a_frame_without_floats_are_those_of_its_file(mobilenet: edgefeat.Extractor) -> None:
    plain, *framed = [one for one in mobilenet.bundle.manifest.variants if one.integers is not None]
    assert [one.name for one in framed] == ["tflite-integer@rgb-160x120", "tflite-integer@nv21-128x96-90"]
    for one in framed:
        assert one.integers is not None
        assert plain.integers is not None
        assert one.integers.outputs == plain.integers.outputs
        assert set(one.integers.operators) > {"FULLY_CONNECTED", "TRANSPOSE", "SLICE", "QUANTIZE"}
        assert min(figures.mean_cosine for figures in one.fidelity.values()) >= 0.85
    assert all(check.status == "ok" for check in edgefeat.verify(mobilenet.bundle))
    assert "resize it in integers" in (mobilenet.bundle.path / "README.md").read_text()


def test_int8_pixels_and_preprocessing_of_each_channel(tiny_model: Path, small_photos: Path, tmp_path: Path) -> None:
    extractor = edgefeat_export.export(
        tiny_model,
        tmp_path / "a.edgefeat",
        calibration=small_photos,
        layers=["last"],
        variants=["tflite-integer"],
        integer_input="int8",
        preprocess="torch",
    )
    assert extractor.variant == "tflite-integer"  # it has no other
    assert integers_of(extractor).input == "int8"
    assert "QUANTIZE" not in integers_of(extractor).operators
    with np.load(extractor.bundle.path / "golden.npz") as golden:
        (features,), keras = extractor.run(golden["pictures"]), golden["keras/last"]
    assert (features * keras).sum(1).min() > 0.99


def test_what_has_no_integers_is_refused_with_its_name(tiny_model: Path, small_photos: Path, tmp_path: Path) -> None:
    with pytest.raises(edgefeat.ExportError, match=r"POW.* no integer form"):
        edgefeat_export.export(
            tiny_model,
            tmp_path / "a.edgefeat",
            calibration=small_photos,
            preprocess="tf",
            pooling="gem",
            layers=["last"],
            variants=["tflite-integer"],
        )
    assert not (tmp_path / "a.edgefeat").exists()


def test_16_bit_activations_are_nearer_and_run_everywhere(mobilenet: edgefeat.Extractor, tmp_path: Path) -> None:
    source, made = mobilenet.bundle.path / "tflite-float32.tflite", tmp_path / "wide.tflite"
    (graph,) = flatbuffer.read(source).subgraphs
    last = {name for one in graph.operators[-8:-3] for i in one.outputs for name in [graph.tensors[i].name.decode()]}
    pictures = np.random.default_rng(2).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    conversion.integer(source, pictures, made, normalized=["conv_pw_6_relu"], wide=last)
    facts = integer_facts(made)
    assert set(facts.wide_operations) == last
    micro = pytest.importorskip("tflite_micro", reason="TensorFlow Lite Micro has wheels for Linux on x86-64 only")
    assert micro
    from edgefeat_export._commands.chips import tflite_micro, vela

    run = tflite_micro.run_micro(made.read_bytes(), pictures, 1)
    np.testing.assert_array_equal(run.outputs, tflite_micro.reference_outputs(made.read_bytes(), pictures))
    compiled, _ = vela.compile_file(made.read_bytes(), "ethos-u55-128", vela.VelaOptions())
    assert (compiled.cpu, compiled.fallbacks) == (0, ())


def test_a_file_below_the_gate_is_refused_with_its_figure() -> None:
    fidelity = {"last": Fidelity(32, 0.97, 0.9, 0.9, 0.1, 0.9, 0.9, 0.0, None)}
    reason = unfaithful("tflite-integer", fidelity, Gate(0.98, None))
    assert reason is not None
    assert "0.9700 for tap last (allowed: 0.98 or more)" in reason


def test_vela_puts_every_operator_on_the_npu(mobilenet: edgefeat.Extractor) -> None:
    pytest.importorskip("ethosu", reason="needs the npu extra")
    bundle = mobilenet.bundle.path
    done = command("npu", bundle, "--target", "ethos-u55-128", "--target", "ethos-u65-256", "--json")
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout)["targets"]:
        assert (row["cpu"], row["fallbacks"]) == (0, [])
        assert row["npu"] > 10
        assert row["cycles"] > 0
        assert row["milliseconds"] == pytest.approx(row["cycles"] / row["clock_mhz"] / 1e3, rel=0.01)
        made = bundle.parent / f"mobilenet.{row['target']}.tflite"
        assert row["file"] == str(made)
        assert row["size"] == made.stat().st_size
        operators = {code.customCode for code in flatbuffer.read(made).operatorCodes}
        assert operators == {b"ethos-u"}
    assert edgefeat.load(bundle).variant == "tflite-float32"  # nothing was put into the bundle


def test_what_falls_back_is_named_with_the_reason(tmp_path: Path) -> None:
    pytest.importorskip("ethosu", reason="needs the npu extra")
    done = command(
        "npu", INTEGERS, "--variant", "tflite-float32", "--target", "ethos-u55-128", "--json", "-o", tmp_path
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["targets"]
    assert row["npu"] == 0
    assert {one["operator"] for one in row["fallbacks"]} >= {"CAST", "MEAN", "RELU6"}
    assert "Float32" in next(one["reason"] for one in row["fallbacks"] if one["operator"] == "MEAN")


def test_a_bundle_without_the_variant_is_told_how_to_get_it() -> None:
    for name in ("npu", "micro"):
        target = ["--target", "ethos-u55-128"] if name == "npu" else []
        done = command(name, INTEGERS.parent / "one_tap.edgefeat", *target)
        assert done.returncode == 2
        assert "--variants tflite-integer" in done.stderr


def test_micro_gives_the_reference_and_fits_256_kb(mobilenet: edgefeat.Extractor, tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro", reason="TensorFlow Lite Micro has wheels for Linux on x86-64 only")
    done = command("micro", mobilenet.bundle.path, "--json", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["different"], result["integers"]) == (0, 8 * 128)
    assert result["arena"] < 256 * 1024
    assert result["keras_cosine"] > 0.85
    array = re.findall(r"0x([0-9a-f]{2}),", (tmp_path / "feature_model.cc").read_text())
    assert bytes.fromhex("".join(array)) == (mobilenet.bundle.path / "tflite-integer.tflite").read_bytes()
    header = (tmp_path / "feature_model.h").read_text()
    assert f"kFeatureModelArenaSize = {result['arena']};" in header
    assert "MicroMutableOpResolver<4>" in header
    assert "resolver.AddDepthwiseConv2D();" in header


def test_mediapipe_refuses_the_file_as_the_card_says(mobilenet: edgefeat.Extractor) -> None:
    # A library of the system that MediaPipe needs may be absent.
    vision = pytest.importorskip("mediapipe.tasks.python.vision", reason="needs mediapipe", exc_type=ImportError)
    card = (mobilenet.bundle.path / "README.md").read_text()
    assert "but `tflite-integer`, whose output is int8," in card
    with pytest.raises(ValueError, match="found INT8"):
        vision.ImageEmbedder.create_from_model_path(str(mobilenet.bundle.path / "tflite-integer.tflite"))
