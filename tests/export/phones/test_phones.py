"""Phones: MediaPipe opens the bundle's files unchanged and computes edgefeat's features; code for Android and iOS.

MediaPipe's Python package is the task library that phones use. Code that cannot be built here is only parsed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

import edgefeat

for name in ("ai_edge_litert", "tensorflow", "tf2onnx", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

from edgefeat_export._bundle.tflite_metadata import METADATA, About, Output, describe  # noqa: E402
from edgefeat_export._convert.tflite import flatbuffer  # noqa: E402

HERE = Path(__file__).parent
COMMITTED = HERE.parents[1] / "data"
EXAMPLES = HERE.parents[2] / "examples"
TFLITE = ("tflite-float32", "tflite-float16", "tflite-int8", "tflite-dynamic")


Pictures = Mapping[str, NDArray[np.uint8]]
Embed = Callable[[Sequence[Path], Pictures], list[dict[str, NDArray[np.float32]]]]


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Embed:
    """What MediaPipe gives for pictures by name: for each model, for each head, (N, dimensions) in the names' order."""
    folder = tmp_path_factory.mktemp("mediapipe")

    def run(models: Sequence[Path], pictures: Pictures) -> list[dict[str, NDArray[np.float32]]]:
        arrays: dict[str, Any] = dict(pictures)
        np.savez(folder / "given.npz", **arrays)
        command = [sys.executable, str(HERE / "mediapipe_embedder.py"), str(folder / "out.npz")]
        command += [str(folder / "given.npz"), *map(str, models)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        if done.returncode == 3:
            why = done.stderr.strip().splitlines()[-1]
            pytest.skip(f"{why} (pip install mediapipe; on Debian also: apt-get install libxcb1 libegl1 libgles2)")
        assert done.returncode == 0, done.stderr
        with np.load(folder / "out.npz") as found:
            return [
                {name.partition("/")[2]: rows for name, rows in found.items() if name.startswith(f"{index}/")}
                for index in range(len(models))
            ]

    return run


@pytest.fixture(scope="module")
def exported(tiny_model: Path, small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that the command line wrote now: the float files of `two_taps`."""
    folder = tmp_path_factory.mktemp("phones")
    command = [sys.executable, "-m", "edgefeat", "export", str(tiny_model), "--preprocess", "tf"]
    command += ["--layer", "stem", "--layer", "inner/point", "--variants", "tflite-float32,tflite-float16"]
    command += ["--calibration", str(small_photos), "-o", str(folder / "tiny.edgefeat")]
    subprocess.run(command, check=True, capture_output=True, timeout=500)
    return folder / "tiny.edgefeat"


def about(bundle: edgefeat.Bundle) -> About:
    manifest = bundle.manifest
    outputs = tuple(Output(tap.name, f"Feature of layer {tap.layer}: ü, {tap.shape}") for tap in manifest.taps)
    size = (manifest.picture.height, manifest.picture.width)
    return About(manifest.name, "A network.", "weights 1", "edgefeat", "its own", *size, outputs, "An image.")


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = one.reshape(len(one), -1).astype(np.float64), other.reshape(len(other), -1).astype(np.float64)
    products: NDArray[np.float64] = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return products


def metadata_of(path: Path) -> Any:
    """The metadata, read by the classes that MediaPipe's package has of the published schema."""
    published = pytest.importorskip(
        "mediapipe.tasks.metadata.metadata_schema_py_generated",
        reason="MediaPipe cannot be imported (pip install mediapipe; on Debian also: apt-get install libxcb1)",
        exc_type=ImportError,
    )
    model = flatbuffer.read(path)
    (place,) = [entry.buffer for entry in model.metadata if bytes(entry.name) == METADATA.encode()]
    content = bytes(model.buffers[place].data)
    assert published.ModelMetadata.ModelMetadataBufferHasIdentifier(content, 0)
    return published.ModelMetadataT.InitFromObj(published.ModelMetadata.GetRootAsModelMetadata(content, 0))


@pytest.mark.xdist_group("phones")  # one export for both
def test_an_exported_file_says_what_it_is(exported: Path) -> None:
    committed = COMMITTED / "two_taps.edgefeat"
    places = [(exported, "tflite-float32"), (exported, "tflite-float16"), (committed, "tflite-int8")]
    for folder, variant in places:
        said = metadata_of(folder / f"{variant}.tflite")
        assert said.name.decode() == edgefeat.Bundle.open(folder).manifest.name
        assert variant in said.description.decode()
        assert said.author.decode() == f"edgefeat {edgefeat.__version__}"
        assert "weights" in said.license.decode()
        assert said.minParserVersion == b"1.0.0"
        (network,) = said.subgraphMetadata
        (picture,) = network.inputTensorMetadata
        assert picture.name == b"image"
        assert type(picture.content.contentProperties).__name__ == "ImagePropertiesT"
        assert picture.content.contentProperties.colorSpace == 1
        size = picture.content.contentProperties.defaultSize
        assert (size.height, size.width) == (32, 32)
        (unit,) = picture.processUnits
        assert type(unit.options).__name__ == "NormalizationOptionsT"
        assert (list(unit.options.mean), list(unit.options.std)) == ([0.0], [1.0])
        assert (list(picture.stats.min), list(picture.stats.max)) == ([0.0], [255.0])
        names = [(tensor.name.decode(), tensor.description.decode()) for tensor in network.outputTensorMetadata]
        assert names == [
            ("stem", "Feature of layer stem: pooling avg, norm l2; 8 float32."),
            ("inner.point", "Feature of layer inner/point: pooling avg, norm l2; 16 float32."),
        ]
        assert all(
            type(tensor.content.contentProperties).__name__ == "FeaturePropertiesT"
            for tensor in network.outputTensorMetadata
        )


@pytest.mark.xdist_group("phones")  # one export for both
def test_an_exported_bundle_is_whole_and_verified(exported: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgefeat", "verify", str(exported), "--json"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert json.loads(done.stdout)["ok"], done.stdout
    for variant in edgefeat.Bundle.open(exported).manifest.variants:
        content = (exported / variant.file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == variant.file.sha256


@pytest.mark.parametrize("name", ["one_tap", "two_taps"])
def test_metadata_changes_no_feature_and_names_the_heads(name: str, tmp_path: Path, embed: Embed) -> None:
    bundle = edgefeat.Bundle.open(COMMITTED / f"{name}.edgefeat")
    paths = [described(bundle, variant, tmp_path) for variant in TFLITE]
    with np.load(bundle.path / "golden.npz") as golden:
        pictures = {f"{index:03}": picture for index, picture in enumerate(golden["pictures"])}
        expected = [{tap.name: golden[f"{one}/{tap.name}"] for tap in bundle.manifest.taps} for one in TFLITE]
    for path, found, by_tap in zip(paths, embed(paths, pictures), expected, strict=True):
        assert list(found) == list(by_tap)
        for tap, rows in by_tap.items():
            assert found[tap] == pytest.approx(rows, abs=1e-6)
        said = [tensor.description.decode() for tensor in metadata_of(path).subgraphMetadata[0].outputTensorMetadata]
        assert said == [output.description for output in about(bundle).outputs]
        once = path.read_bytes()
        describe(path, about(bundle))
        assert path.read_bytes() == once


def described(bundle: edgefeat.Bundle, variant: str, folder: Path) -> Path:
    """A copy of a variant's file with metadata."""
    path = folder / f"{variant}.tflite"
    shutil.copy(bundle.path / path.name, path)
    describe(path, about(bundle))
    return path


def test_real_photos_through_mediapipe(shared_data: Path, tmp_path: Path, embed: Embed) -> None:
    """Features are equal on the same pixels. On whole photos only MediaPipe's resize makes them differ."""
    bundle = COMMITTED / "one_tap.edgefeat"
    path = described(edgefeat.Bundle.open(bundle), "tflite-float32", tmp_path)
    extractor = edgefeat.load(bundle, variant="tflite-float32", engine="litert", decoding="exact")
    files = [*sorted((shared_data / "calibration").glob("*"))[:8], *sorted((shared_data / "camera").glob("*.jpg"))[:2]]
    files.sort(key=lambda file: file.name)
    photos = {file.name: ImageOps.exif_transpose(Image.open(file)).convert("RGB") for file in files}
    resized = {name: np.asarray(photo.resize((32, 32), Image.Resampling.BILINEAR)) for name, photo in photos.items()}
    whole = {name: np.asarray(photo) for name, photo in photos.items()}
    own = np.asarray(extractor.extract(list(files)))
    assert cosines(embed([path], resized)[0]["last"], own).min() >= 0.9999
    found = embed([path], whole)[0]["last"]
    sampled = np.stack([_as_mediapipe_samples(picture, 32, 32) for picture in whole.values()])
    assert cosines(found, np.asarray(extractor.extract(sampled))).min() >= 0.99
    assert cosines(found, own).min() < 0.9999  # else the card would warn of nothing


def _as_mediapipe_samples(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Four neighbours at i * size / new size: no antialiasing, and half a pixel off the centre."""
    rows, columns = (_taps(size, new) for size, new in ((picture.shape[0], height), (picture.shape[1], width)))
    values = picture.astype(np.float32)
    (top, bottom, down), (left, right, across) = rows, columns
    upper = values[top][:, left] * (1 - across)[:, None] + values[top][:, right] * across[:, None]
    lower = values[bottom][:, left] * (1 - across)[:, None] + values[bottom][:, right] * across[:, None]
    return np.rint(upper * (1 - down)[:, None, None] + lower * down[:, None, None]).astype(np.uint8)


def _taps(size: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    places = np.arange(new) * size / new
    first = np.floor(places).astype(np.int64)
    return first, np.minimum(first + 1, size - 1), (places - first).astype(np.float32)


def test_broken_metadata_is_refused_by_mediapipe(tmp_path: Path, embed: Embed) -> None:
    """This shows that MediaPipe reads the metadata; otherwise the tests above would prove nothing."""
    path = described(edgefeat.Bundle.open(COMMITTED / "one_tap.edgefeat"), "tflite-float32", tmp_path)
    path.write_bytes(path.read_bytes().replace(b"M001", b"M002"))
    with pytest.raises(AssertionError, match=r"[Mm]etadata"):
        embed([path], {"a": np.zeros((32, 32, 3), np.uint8)})


def test_code_for_android_and_ios_parses() -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="the developer tools are not installed")
    import tree_sitter_kotlin
    import tree_sitter_swift

    for grammar, files in (
        (tree_sitter_kotlin, sorted((EXAMPLES / "android").glob("*.kt"))),
        (tree_sitter_swift, sorted((EXAMPLES / "ios").glob("*.swift"))),
    ):
        parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
        assert files
        for file in files:
            assert not parser.parse(file.read_bytes()).root_node.has_error, file


_RUN = """
import edgefeat.resized
import java.io.DataInputStream
import java.io.DataOutputStream

fun main() {
    val given = DataInputStream(System.`in`.buffered())
    val output = DataOutputStream(System.out.buffered())
    repeat(given.readInt()) {
        val (width, height, newWidth, newHeight) = List(4) { given.readInt() }
        val pixels = IntArray(width * height) { given.readInt() }
        for (pixel in resized(pixels, width, height, newWidth, newHeight)) output.writeInt(pixel)
    }
    output.flush()
}
"""

_SIZES = [(500, 375, 224, 224), (1201, 907, 96, 128), (19, 23, 32, 48), (224, 300, 224, 224), (1, 1, 5, 7)]


@pytest.mark.skipif(not (shutil.which("kotlinc") and shutil.which("java")), reason="no kotlinc: apt-get install kotlin")
def test_the_kotlin_resize_is_that_of_edgefeat_to_the_bit(tmp_path: Path) -> None:
    (tmp_path / "Run.kt").write_text(_RUN)
    sources = [str(EXAMPLES / "android" / "Resize.kt"), str(tmp_path / "Run.kt")]
    subprocess.run(["kotlinc", *sources, "-include-runtime", "-d", str(tmp_path / "run.jar")], check=True, timeout=300)
    pictures, given = _pictures(), np.array([len(_SIZES)], ">i4").tobytes()
    for size, picture in zip(_SIZES, pictures, strict=True):
        red, green, blue = np.moveaxis(picture.astype(np.uint32), 2, 0)
        pixels = np.uint32(0xFF000000) | red << 16 | green << 8 | blue
        given += np.array(size, ">i4").tobytes() + pixels.astype(">u4").tobytes()
    command = ["java", "-jar", str(tmp_path / "run.jar")]
    done = subprocess.run(command, input=given, capture_output=True, check=True, timeout=100)
    output = np.frombuffer(done.stdout, ">u4")
    for (_, _, width, height), picture in zip(_SIZES, pictures, strict=True):
        pixels, output = output[: width * height].reshape(height, width), output[width * height :]
        found = np.stack([pixels >> 16 & 0xFF, pixels >> 8 & 0xFF, pixels & 0xFF], -1)
        expected = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
        assert np.array_equal(found, np.asarray(expected))


def _pictures() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for width, height, _, _ in _SIZES]
