"""The examples, run as a reader would, on small data: edgefeat's features equal those of the published Keras code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import LONG

for name in ("tensorflow", "tf2onnx", "ai_edge_quantizer", "sklearn"):
    pytest.importorskip(name, reason="the export extra is not installed")

EXAMPLES = Path(__file__).parents[3] / "examples"
#: The recipes of the example, and the one that runs in every test run: a network of one's own.
RECIPES = ("vgg16_map", "vgg16_block5", "custom_cnn", "resnet50_any_size")
SHORT = ("custom_cnn",)
FLOAT32 = ("tflite-float32", "onnx-float32")


def run(script: str, *arguments: str | Path) -> str:
    """What the example prints."""
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def recipes(shared_data: Path) -> dict[str, str]:
    """What the example prints for each recipe that is run, by name."""
    chosen = [
        option for recipe in (RECIPES if "EDGEFEAT_LONG" in os.environ else SHORT) for option in ("--recipe", recipe)
    ]
    options = ["--weights", "random", "--size", "64", "--count", "3", *chosen]
    out = run("keras_recipes.py", shared_data / "calibration", *options)
    named = re.split(r"^(\w+): ", out, flags=re.MULTILINE)[1:]
    return dict(zip(named[::2], named[1::2], strict=True))


@pytest.mark.parametrize("recipe", [pytest.param(one, marks=() if one in SHORT else LONG) for one in RECIPES])
def test_a_published_recipe_gives_the_numbers_of_its_keras_code(recipe: str, recipes: dict[str, str]) -> None:
    out = recipes[recipe]
    found = re.findall(r"^ +(\S+-float32) .*  cosine (\S+) nearest, (\S+) bilinear$", out, flags=re.MULTILINE)
    assert tuple(variant for variant, *_ in found) == FLOAT32
    assert min(float(cosine) for _, *both in found for cosine in both) >= 0.9999
    # Features that are alike for all photos would prove nothing.
    (apart,) = re.findall(r"^ +keras .*  \(two of its photos: (\S+)\)$", out, flags=re.MULTILINE)
    assert float(apart) < 0.999


def test_a_folder_without_photos_is_wrong_use(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "keras_recipes.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr.splitlines()[-1]
