"""Files with a camera frame as their input: their pixels are Pillow's and OpenCV's."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

for name in ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"the export extra is not installed: {name} is missing", allow_module_level=True)

from edgefeat._images.form import PictureForm
from edgefeat._images.frames.form import FORMATS, ROTATIONS, FrameForm, parse_frame
from edgefeat._images.frames.pixels import frame_of, rgb_of
from edgefeat._images.picture import read_picture
from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.filters import bilinear, byte_weights
from edgefeat_export._convert.frames.onnx import file as onnx_frames
from edgefeat_export._convert.frames.plan import plan_frame
from edgefeat_export._convert.frames.repeats import repeats
from edgefeat_export._convert.frames.tflite import file as tflite_frames

HEIGHT, WIDTH = 24, 32

frames = st.builds(
    lambda pixels, rotation, color, width, height: parse_frame(f"{pixels}-{2 * width}x{2 * height}-{rotation}-{color}"),
    st.sampled_from(FORMATS),
    st.sampled_from(ROTATIONS),
    st.sampled_from(["bt601", "bt601-full", "bt709"]),
    st.integers(4, 60),
    st.integers(4, 60),
)
fits = st.sampled_from(["stretch", "crop", "pad"])


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network whose feature is its picture, as TFLite and ONNX."""
    import keras

    from edgefeat_export._convert.graph import save_graph
    from edgefeat_export._convert.onnx import conversion as onnx_conversion
    from edgefeat_export._convert.tflite import conversion as tflite_conversion

    folder = tmp_path_factory.mktemp("identity")
    picture = keras.Input((HEIGHT, WIDTH, 3))
    graph = save_graph(keras.Model(picture, keras.layers.Rescaling(2.0)(picture)), ["picture"], folder / "graph")
    tflite_conversion.float32(graph, folder / "net.tflite")
    onnx_conversion.float32(folder / "net.tflite", folder / "net.onnx")
    return folder


def pixels(folder: Path, frame: NDArray[np.uint8], form: FrameForm, picture: PictureForm) -> list[NDArray[np.float32]]:
    """The pictures that a TFLite and an ONNX file make of a frame."""
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    plan = plan_frame(form, picture)
    tflite_frames.with_frame(folder / "net.tflite", plan, folder / "frame.tflite")
    onnx_frames.with_frame(folder / "net.onnx", plan, folder / "frame.onnx")
    interpreter = Interpreter(str(folder / "frame.tflite"), num_threads=1)
    one = interpreter.get_signature_runner()(image=frame[np.newaxis])["picture"]
    session = onnxruntime.InferenceSession(str(folder / "frame.onnx"), providers=["CPUExecutionProvider"])
    two = session.run(None, {"image": np.stack([frame, np.full_like(frame, 128)])})[0]
    return [one[0] / 2, two[0] / 2]


@given(frames, fits, st.integers(0, 5))
@settings(deadline=None, max_examples=12)
def test_both_formats_make_the_picture_that_pillow_makes(identity: Path, form: FrameForm, fit: Any, seed: int) -> None:
    picture = PictureForm(HEIGHT, WIDTH, fit=fit)
    if form.upright == (WIDTH, HEIGHT):
        return
    # Colours that no format clips: YUV is clipped before the second pass, not before the first.
    coarse = np.random.default_rng(seed).integers(80, 176, (5, 6, 3), np.uint8)
    frame = frame_of(np.asarray(Image.fromarray(coarse).resize(form.upright, Image.Resampling.BICUBIC)), form)
    expected = read_picture(rgb_of(frame, form), picture).astype(int)
    for found in pixels(identity, frame, form, picture):
        difference = np.abs(found - expected)
        assert difference.max() <= 3, form.name
        assert difference.mean() <= 0.5, form.name


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_frames_are_resized_along_their_columns_first_if_weights_repeat(
    identity: Path, pixel_format: str, rotation: int
) -> None:
    form = parse_frame(f"{pixel_format}-64x64-{rotation}")
    packed = pixel_format not in ("nv12", "nv21", "i420")
    coarse = np.random.default_rng(rotation).integers(80, 176, (5, 6, 3), np.uint8)
    frame = frame_of(np.asarray(Image.fromarray(coarse).resize(form.upright, Image.Resampling.BICUBIC)), form)
    for fit in ("stretch", "crop", "pad"):
        picture = PictureForm(HEIGHT, WIDTH, fit=fit)
        expected = read_picture(rgb_of(frame, form), picture).astype(int)
        for found in pixels(identity, frame, form, picture):
            difference = np.abs(found - expected)
            assert difference.max() <= 2, fit
            assert difference.mean() <= 0.5, fit
        if fit == "stretch":
            made = operators(identity / "frame.tflite")
            assert ("DEPTHWISE_CONV_2D" in made) == packed
            # XNNPACK copies what it reshapes or cuts: the frame once.
            cuts = [size for name in ("SLICE", "RESHAPE") for size in made[name] if size > 0.9 * form.size]
            assert not packed or len(cuts) == 1
            run = onnx_operators(identity / "frame.onnx")
            assert run["QLinearConv"] > 0
            # It is not turned back and forth for the convolutions.
            assert run["Transpose"] == (1 if rotation in (90, 270) else 0)
    picture = PictureForm(HEIGHT, WIDTH)
    plan = plan_frame(parse_frame(f"{pixel_format}-64x58-{rotation}"), picture)
    tflite_frames.with_frame(identity / "net.tflite", plan, identity / "other.tflite")
    assert "DEPTHWISE_CONV_2D" not in operators(identity / "other.tflite")
    onnx_frames.with_frame(identity / "net.onnx", plan, identity / "other.onnx")
    assert "QLinearConv" not in onnx_operators(identity / "other.onnx")


def onnx_operators(file: Path) -> Counter[str]:
    """The operators that ONNX Runtime runs: how often each."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that what it writes is for this machine
    options.optimized_model_filepath = str(file.with_suffix(".run.onnx"))
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def operators(file: Path) -> dict[str, list[int]]:
    """The names of a file's operators, and the sizes of their results."""
    from ai_edge_litert import schema_py_generated as schema

    from edgefeat_export._convert.tflite import flatbuffer

    model = flatbuffer.read(file)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    (graph,) = model.subgraphs
    found: dict[str, list[int]] = {}
    for one in graph.operators:
        sizes = found.setdefault(names[flatbuffer.op_code(model, one)], [])
        sizes.append(int(np.prod(graph.tensors[one.outputs[0]].shape)))
    return found


@given(st.integers(1, 150), st.integers(1, 90), st.data())
@settings(deadline=None, max_examples=200)
def test_weights_that_repeat_are_found_again(source: int, size: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, source - 1))
    end = data.draw(st.integers(begin + 1, source))
    weights = bilinear(source, size, begin, end)
    found = repeats(weights)
    if found is None:
        return
    again = np.zeros((size, source + 2 * source))  # as if the image went on beyond its edges
    for row in range(size):
        kernel = found.edges.get(row, found.kernels[row % len(found.kernels)])
        first = kernel.first + (0 if row in found.edges else row // len(found.kernels) * found.step)
        again[row, source + first : source + first + len(kernel.weights)] = kernel.weights
    np.testing.assert_allclose(again[:, source : 2 * source], weights, atol=1e-8)
    assert not again[:, :source].any()
    assert not again[:, 2 * source :].any()


@pytest.mark.parametrize(("source", "size", "period"), [(480, 224, 7), (720, 224, 14), (480, 160, 1), (240, 224, 14)])
def test_usual_sizes_repeat(source: int, size: int, period: int) -> None:
    found = repeats(bilinear(source, size))
    assert found is not None
    assert len(found.kernels) == period


@pytest.mark.parametrize("pixel_format", ["bgr", "rgba", "bgra", "gray", "nv12", "nv21", "i420", "yuyv"])
def test_colours_alone_are_those_of_opencv_within_a_level(identity: Path, pixel_format: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="no OpenCV: pip install opencv-python-headless", exc_type=ImportError)
    form = parse_frame(f"{pixel_format}-{WIDTH}x{HEIGHT}")
    code = f"{pixel_format.upper()}2RGB" if not form.is_yuv else f"YUV2RGB_{pixel_format.upper()}"
    noise = np.random.default_rng(2).integers(0, 256, form.shape, np.uint8)
    expected = cv2.cvtColor(noise, getattr(cv2, f"COLOR_{code}")).astype(int)
    for found in pixels(identity, noise, form, PictureForm(HEIGHT, WIDTH)):
        assert np.abs(found - expected).max() <= 1


@given(st.integers(1, 90), st.integers(1, 90), st.data())
@settings(deadline=None, max_examples=60)
def test_the_matrix_is_pillows_resize(source: int, size: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, source - 1))
    end = data.draw(st.integers(begin + 1, source))
    line = np.random.default_rng(source).random((1, source), np.float32)
    box = (begin, 0, end, 1)
    expected = np.asarray(Image.fromarray(line).resize((size, 1), Image.Resampling.BILINEAR, box=box))[0]
    np.testing.assert_allclose(bilinear(source, size, begin, end) @ line[0], expected, atol=1e-5)


@given(st.integers(1, 300), st.integers(1, 90), st.booleans())
@settings(deadline=None, max_examples=60)
def test_byte_weights_keep_every_plain_level(source: int, size: int, pairs: bool) -> None:
    weights = bilinear(source, size)
    whole, total = byte_weights(weights, grid.LEVELS, pairs=pairs)
    assert (whole.sum(axis=1) == total).all()
    assert whole.min() >= 0
    assert whole.max() <= grid.LEVELS
    assert np.abs(whole / total - weights).max() <= 1 / total
    if pairs and source > 1:
        assert (whole[:, 1:] + whole[:, :-1]).max() <= grid.PAIR
