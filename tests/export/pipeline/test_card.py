"""The card's snippets: Python is run, Kotlin, Swift and JavaScript are parsed, and what it says fits the bundle."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

import edgefeat

for name in ("tensorflow", "tf2onnx", "ai_edge_quantizer"):
    pytest.importorskip(name, reason="the export extra is not installed")

from edgefeat._version import device_install_command  # noqa: E402
from edgefeat_export._bundle.card import card  # noqa: E402

COMMITTED = Path(__file__).parents[2] / "data"


def manifest_of(name: str) -> edgefeat.Manifest:
    return edgefeat.Bundle.open(COMMITTED / f"{name}.edgefeat").manifest


def snippets(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run(code: str, folder: Path) -> np.ndarray:
    """What the snippet leaves in `feature`, run in `folder`."""
    prologue = "import sys; sys.modules['tensorflow'] = None\n"  # MediaPipe can do without, and imports it slowly
    epilogue = "\nimport numpy as _numpy; _numpy.save('feature.npy', _numpy.array(feature, 'float32'))\n"
    done = subprocess.run(
        [sys.executable, "-c", prologue + code + epilogue], cwd=folder, capture_output=True, text=True, timeout=200
    )
    lacking = re.search(r"No module named 'mediapipe'|\S+: cannot open shared object file", done.stderr)
    if lacking is not None:
        pytest.skip(
            f"MediaPipe: {lacking[0]} (pip install mediapipe; on Debian also: apt-get install libxcb1 libegl1 libgles2)"
        )
    assert done.returncode == 0, done.stderr
    feature: np.ndarray = np.load(folder / "feature.npy")
    return feature


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_python_snippets_give_the_feature(fit: Literal["stretch", "crop", "pad"], tmp_path: Path) -> None:
    source = COMMITTED / "one_tap.edgefeat"
    manifest = manifest_of("one_tap")
    manifest = dataclasses.replace(manifest, picture=dataclasses.replace(manifest.picture, fit=fit))
    bundle = tmp_path / f"{manifest.name}.edgefeat"
    shutil.copytree(source, bundle)
    (bundle / "manifest.json").write_bytes(manifest.to_bytes())
    exif = Image.Exif()
    exif[0x0112] = 3
    rough = np.random.default_rng(2).integers(0, 256, (12, 16, 3), np.uint8)
    phone = tmp_path / "phone"
    phone.mkdir()
    shutil.copy(source / "tflite-float32.tflite", phone)
    for folder in (tmp_path, phone):
        photo = Image.fromarray(rough).resize((640, 400), Image.Resampling.BICUBIC)
        photo.save(folder / "photo.jpg", exif=exif)
    on_device, on_phone = snippets(card(manifest), "python")
    expected = run(on_device, tmp_path)
    assert expected.shape == (16,)
    found = run(on_phone, phone)
    assert float(found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)) >= 0.9995


def bare(manifest: edgefeat.Manifest) -> edgefeat.Manifest:
    return manifest


def unpooled(manifest: edgefeat.Manifest) -> edgefeat.Manifest:
    (tap,) = manifest.taps
    return dataclasses.replace(manifest, taps=(dataclasses.replace(tap, pooling="none", shape=(16, 16, 8)),))


@pytest.mark.parametrize("change", [bare, unpooled])
@pytest.mark.parametrize("language", ["kotlin", "swift"])
def test_phone_snippets_parse(language: str, change: Callable[[edgefeat.Manifest], edgefeat.Manifest]) -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="the developer tools are not installed")
    grammar = pytest.importorskip(f"tree_sitter_{language}")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    (code,) = snippets(card(change(manifest_of("one_tap"))), language)
    assert not parser.parse(code.encode()).root_node.has_error, code
    assert "tflite-float32" in code
    assert "32" in code
    assert parser.parse(code[:-3].encode()).root_node.has_error  # it sees what is missing


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_browser_snippet_parses(tmp_path: Path) -> None:
    (code,) = snippets(card(manifest_of("two_taps")), "js")
    (tmp_path / "snippet.mjs").write_text(f"const rgb = null;\n{code}")
    subprocess.run(["node", "--check", str(tmp_path / "snippet.mjs")], check=True, timeout=100)
    assert '["stem"]' in code


def test_what_mediapipe_makes_of_the_outputs_is_said() -> None:
    assert "its only embedding" in card(manifest_of("one_tap"))
    assert "in the order of the table above" in card(manifest_of("two_taps"))
    text = card(unpooled(manifest_of("one_tap")))
    assert "it flattens `last` of 16 x 16 x 8, row by row with channels last" in text


def test_a_bundle_without_a_format_says_what_it_lacks() -> None:
    manifest = manifest_of("one_tap")
    onnx = tuple(one for one in manifest.variants if one.format == "onnx")
    text = card(dataclasses.replace(manifest, variants=onnx))
    assert "add `tflite-float32` to `--variants`" in text
    assert device_install_command("onnx") in text
    assert "Kotlin" not in text
    tflite = tuple(one for one in manifest.variants if one.format == "tflite")
    text = card(dataclasses.replace(manifest, variants=tflite))
    assert "add `onnx-float32` to `--variants`" in text
    assert "Kotlin" in text


def test_operations_kept_in_float_are_counted_not_listed() -> None:
    manifest = manifest_of("one_tap")
    variants = tuple(dataclasses.replace(one, float_operations=("a;b;c", "d")) for one in manifest.variants[-1:])
    text = card(dataclasses.replace(manifest, variants=variants))
    assert "Kept in float: 2 operations, by name in `manifest.json`." in text
    assert "a;b;c" not in text
