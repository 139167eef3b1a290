"""A variant without floats: the runtime finishes its features, and takes it only where it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefeat
from edgefeat._engines.engine import Engine
from edgefeat._engines.selection import candidates

DATA = Path(__file__).parents[2] / "data"
BUNDLES = sorted(path.name for path in DATA.glob("*.edgefeat"))

Altered = Callable[..., Path]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def integers(installed: list[Engine]) -> Path:
    """A bundle of tflite-float32 and tflite-integer; pictures are 32 x 32."""
    if not any(engine.format == "tflite" for engine in installed):
        pytest.skip("no engine for TFLite is installed")
    return DATA / "integers.edgefeat"


def without_floats(manifest: dict[str, Any], folder: Path) -> None:
    """Takes the float variant out of a bundle."""
    (folder / "tflite-float32.tflite").unlink()
    manifest["variants"] = [one for one in manifest["variants"] if one["name"] == "tflite-integer"]


def interpreter(path: Path, engine: str) -> Any:
    if engine == "litert":
        from ai_edge_litert.interpreter import Interpreter
    else:
        from tflite_runtime.interpreter import Interpreter
    made = Interpreter(str(path))
    made.allocate_tensors()
    return made


def test_a_cpu_takes_another_variant_unless_this_one_is_named(integers: Path) -> None:
    assert edgefeat.load(integers).variant == "tflite-float32"
    assert edgefeat.load(integers, variant="tflite-integer").variant == "tflite-integer"
    assert [one.variant.name for one in candidates(edgefeat.Bundle.open(integers))] == ["tflite-float32"]  # as in tune


def test_the_only_variant_is_taken(integers: Path, altered: Altered) -> None:
    assert edgefeat.load(altered(integers, without_floats)).variant == "tflite-integer"


def test_features_are_the_integers_dequantized_and_of_length_one(integers: Path) -> None:
    extractor = edgefeat.load(integers, variant="tflite-integer")
    pictures = np.random.default_rng(3).integers(0, 256, (5, 32, 32, 3), np.uint8)
    (features,) = extractor.run(pictures)
    assert features.dtype == np.float32
    alone = interpreter(integers / "tflite-integer.tflite", extractor.engine)
    (given,), (made,) = alone.get_input_details(), alone.get_output_details()
    scale, zero_point = made["quantization"]
    for picture, feature in zip(pictures, features, strict=True):
        alone.set_tensor(given["index"], picture[np.newaxis])
        alone.invoke()
        levels = alone.get_tensor(made["index"])[0]
        assert levels.dtype == np.int8
        values = (levels.astype(np.float64) - zero_point) * scale
        np.testing.assert_allclose(feature, values / np.linalg.norm(values), atol=1e-6)


def test_verify_checks_it_too(integers: Path) -> None:
    checks = edgefeat.verify(integers)
    assert {check.variant for check in checks} == {"tflite-float32", "tflite-integer"}
    assert all(check.status == "ok" for check in checks), checks


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda one: one.pop("integers"), "has no integers"),
        (lambda one: one["integers"]["outputs"]["last"].update(scale=0.0), "scale 0.0"),
        (lambda one: one["integers"]["outputs"]["last"].update(zero_point=128), "zero point 128"),
        (lambda one: one["integers"]["outputs"].update(other=one["integers"]["outputs"]["last"]), "not ['last']"),
        (lambda one: one["integers"].update(input="int4"), "int4"),
        (lambda one: one.update(precision="int8"), "tflite-integer"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: Change, word: str) -> None:
    value = json.loads((DATA / "integers.edgefeat" / "manifest.json").read_text("utf-8"))
    (one,) = [variant for variant in value["variants"] if variant["name"] == "tflite-integer"]
    change(one)
    with pytest.raises(edgefeat.BundleError) as raised:
        edgefeat.Manifest.from_bytes(json.dumps(value).encode())
    assert word in str(raised.value)


@pytest.mark.parametrize("name", BUNDLES)
def test_a_manifest_is_written_as_it_was_read(name: str) -> None:
    data = (DATA / name / "manifest.json").read_bytes()
    assert edgefeat.Manifest.from_bytes(data).to_bytes() == data
    assert (b'"integers"' in data) == (name == "integers.edgefeat")
