"""A small member of most families: float32 in both formats equals Keras, and int8 converts.

Four whose layers the others have too take minutes each, and are left to `make matrix`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("tensorflow", reason="needs the export extra")

MEMBERS = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet50",
    "vgg16",
    "xception",
]


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    """The module behind `make matrix`."""
    spec = importlib.util.spec_from_file_location("edgefeat_matrix", Path(__file__).with_name("matrix.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_of_the_family_converts_and_its_float_files_are_keras(
    matrix: ModuleType, name: str, tmp_path: Path
) -> None:
    variants = ["tflite-float32", "onnx-float32", "tflite-int8"]
    found = list(matrix.cells(name, variants, "synthetic", tmp_path / name, ()))
    assert [cell.variant for cell in found] == variants
    assert not [cell.note for cell in found if not cell.ok]
    assert min(cell.minimum_cosine for cell in found[:2]) >= 0.9999
    assert found[2].mean_cosine > 0.3
